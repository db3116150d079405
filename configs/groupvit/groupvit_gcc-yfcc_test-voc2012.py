# GroupViT (table 5): VOC by names alone. The threshold and what the names are
# called are those of the released models; the paper's own was 0.9.
_base_ = [
    '../_base_/models/groupvit_zero-shot.py',
    '../_base_/datasets/voc2012_zero-shot.py',
    '../_base_/segmentation_runtime.py'
]
model = dict(
    background=dict(kind='threshold', threshold=0.95),
    phrases=dict(diningtable='table', pottedplant='plant',
                 tvmonitor='monitor'))
