# GroupViT (table 5): Pascal Context; threshold and names as released (the
# paper's own threshold was 0.5).
_base_ = [
    '../_base_/models/groupvit_zero-shot.py',
    '../_base_/datasets/context_zero-shot.py',
    '../_base_/segmentation_runtime.py'
]
model = dict(
    background=dict(kind='threshold', threshold=0.35),
    phrases=dict(aeroplane='airplane', pottedplant='plant',
                 tvmonitor='monitor'))
