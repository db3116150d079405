# ViLD-text trained on LVIS's base classes, tested on another set's names.
_base_ = [
    '../_base_/models/vild-text_r50_fpn.py',
    '../_base_/datasets/lvis-v1_lsj_test-coco.py',
    '../_base_/schedules/vild_180k.py', '../_base_/detection_runtime.py'
]
