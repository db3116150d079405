# F-VLM, LVIS v1, CLIP RN50 (paper, with RN50x64: mask APr 32.8, AP 34.9).
_base_ = [
    '../_base_/models/fvlm_rn50_fpn.py',
    '../_base_/datasets/lvis-v1_lsj.py', '../_base_/schedules/fvlm_46k.py',
    '../_base_/detection_runtime.py'
]
