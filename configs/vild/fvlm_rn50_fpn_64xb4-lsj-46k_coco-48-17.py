# F-VLM, COCO 48/17, CLIP RN50, with the release's settings
# (fvlm_train_and_eval.gin is of COCO).
_base_ = [
    '../_base_/models/fvlm_rn50_fpn.py',
    '../_base_/datasets/coco-48-17_lsj.py', '../_base_/schedules/fvlm_46k.py',
    '../_base_/detection_runtime.py'
]
