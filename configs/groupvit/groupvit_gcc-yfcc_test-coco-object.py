# GroupViT (released code): the 80 things of COCO, threshold as released.
_base_ = [
    '../_base_/models/groupvit_zero-shot.py',
    '../_base_/datasets/coco-object_zero-shot.py',
    '../_base_/segmentation_runtime.py'
]
model = dict(background=dict(kind='threshold', threshold=0.95))
