# GroupViT on the shapes world, from captions alone: no download, minutes on a
# CPU core. groupvit_test_shapes.py tests what it saves. A prompt is matched
# with the segment that fits it best, which the paper does not do.
_base_ = [
    '../_base_/models/groupvit_shapes.py',
    '../_base_/datasets/shapes_pairs.py',
    '../_base_/schedules/groupvit_shapes.py', '../_base_/default_runtime.py'
]
default_scope = 'mmengine'  # all types carry their prefix
model = dict(
    type='mmclip.GroupViTPretrainer',
    prompt_match='segment',
    data_preprocessor=dict(
        type='mmengine.ImgDataPreprocessor', bgr_to_rgb=True,
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]))
default_hooks = dict(checkpoint=dict(interval=100))
