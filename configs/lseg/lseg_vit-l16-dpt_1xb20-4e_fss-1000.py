# Zero-shot segmentation of FSS-1000 by ViT-L/16 (LSeg, table 3).
_base_ = [
    '../_base_/models/lseg_vit-l16-dpt.py', '../_base_/datasets/fss-1000.py',
    '../_base_/schedules/lseg_zero-shot_4e.py'
]
