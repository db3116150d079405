# Zero-shot segmentation of FSS-1000 by ResNet-101 (LSeg, table 3).
_base_ = [
    '../_base_/models/lseg_r101-dpt.py', '../_base_/datasets/fss-1000.py',
    '../_base_/schedules/lseg_zero-shot_4e.py'
]
