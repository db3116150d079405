# LSeg on ResNet-101 pretrained on ImageNet, as in the zero-shot comparison
# (LSeg, table 1 and 2): the neck fuses the four stages as they are.
_base_ = ['lseg_vit-l16-dpt.py']
model = dict(
    data_preprocessor=dict(  # ImageNet's statistics
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        pad_val=0),
    backbone=dict(
        _delete_=True, type='mmseg.ResNet', depth=101, style='pytorch',
        norm_cfg=dict(type='SyncBN', requires_grad=True), norm_eval=False,
        init_cfg=dict(type='Pretrained',
                      checkpoint='torchvision://resnet101')),
    neck=dict(in_channels=[256, 512, 1024, 2048], reassemble=None))
