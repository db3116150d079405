# ADE20K by names alone, without a background. 448 pixels and patches of 16
# lose small things: the authors speak of about 6 mIoU.
_base_ = [
    '../_base_/models/groupvit_zero-shot.py',
    '../_base_/datasets/ade20k_zero-shot.py',
    '../_base_/segmentation_runtime.py'
]
