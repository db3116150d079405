# ImageNet by names alone (released code): OpenAI's names in seven templates.
_base_ = [
    '../_base_/datasets/imagenet_zero-shot.py', '../_base_/default_runtime.py'
]
default_scope = 'mmpretrain'
model = dict(
    type='mmclip.GroupViTClassifier',
    data_preprocessor=dict(
        type='mmpretrain.ClsDataPreprocessor', to_rgb=True,
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    multi_label=True,  # False: trained without noun prompts (gcc-redcaps)
    names='imagenet', prompts='imagenet-7')
# only tested: there is nothing to train
train_dataloader = train_cfg = optim_wrapper = param_scheduler = None
visualizer = dict(
    type='mmpretrain.UniversalVisualizer',
    vis_backends=[dict(type='mmengine.LocalVisBackend')])
