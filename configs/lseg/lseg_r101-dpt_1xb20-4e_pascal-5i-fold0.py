# Zero-shot segmentation of fold 0 by ResNet-101 (LSeg, table 1).
_base_ = [
    '../_base_/models/lseg_r101-dpt.py', '../_base_/datasets/pascal-5i.py',
    '../_base_/schedules/lseg_zero-shot_4e.py'
]
