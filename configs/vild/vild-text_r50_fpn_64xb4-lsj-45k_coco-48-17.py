# ViLD-text on COCO (paper: AP50 novel 5.9, base 61.8, all 47.2).
_base_ = [
    '../_base_/models/vild-text_r50_fpn.py',
    '../_base_/datasets/coco-48-17_lsj.py', '../_base_/schedules/vild_45k.py',
    '../_base_/detection_runtime.py'
]
