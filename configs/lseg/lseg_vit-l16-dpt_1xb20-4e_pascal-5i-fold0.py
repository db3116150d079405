# Zero-shot segmentation of fold 0 by ViT-L/16 (LSeg, table 1); all but the
# network is that of ResNet-101.
_base_ = [
    '../_base_/models/lseg_vit-l16-dpt.py', '../_base_/datasets/pascal-5i.py',
    '../_base_/schedules/lseg_zero-shot_4e.py'
]
