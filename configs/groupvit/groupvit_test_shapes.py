# Tests groupvit_shapes.py's checkpoint: masks of new scenes by names alone.
# The threshold is that of benchmarks/groupvit_shapes.py.
_base_ = [
    '../_base_/models/groupvit_shapes.py',
    '../_base_/datasets/shapes_segmentation.py',
    '../_base_/segmentation_runtime.py'
]
model = dict(
    type='mmclip.GroupViTSegmentor',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor', bgr_to_rgb=True,
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        seg_pad_val=255),
    tokenizer='shapes', topk=None,
    background=dict(kind='cosine', threshold=0.78))
scenes = dict(
    size=48, radius=(0.16, 0.32), objects=(1, 3), vocabulary='shapes-solid',
    objects_of=('base', 'novel'), classes_of=('base', 'novel'))
val_dataloader = dict(dataset=scenes)
test_dataloader = val_dataloader
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
train_dataloader = train_cfg = optim_wrapper = param_scheduler = None
