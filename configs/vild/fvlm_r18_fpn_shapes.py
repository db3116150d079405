# F-VLM on the shapes world: shapes-clip itself names the regions too. Its
# stride is 32, so scenes are enlarged to 256 px (see its card).
_base_ = ['vild-text_r18_fpn_shapes.py']
model = dict(
    type='mmclip.FVLM',
    backbone=dict(
        _delete_=True, type='mmclip.CLIPImageEncoder', model='shapes-clip',
        out_indices=(1, 2, 3, 4)),  # timm counts the stem as 0
    rpn_head=dict(anchor_generator=dict(scales=[8])),
    roi_head=dict(
        bbox_roi_extractor=dict(finest_scale=28),
        mask_roi_extractor=dict(finest_scale=28),
        score_source=dict(type='mmclip.FrozenCLIPScores', output_size=2),
        score_fusion=dict(
            type='mmclip.GeometricScoreFusion', base=0.35, novel=0.65,
            normalize=True)))
resize = dict(type='mmdet.Resize', scale=(256, 256), keep_ratio=True)
train_dataloader = dict(dataset=dict(pipeline=[
    {{_base_.annotations}}, resize,
    dict(type='mmdet.RandomFlip', prob=0.5), {{_base_.pack}}]))
val_dataloader = dict(dataset=dict(pipeline=[
    {{_base_.load}}, resize, {{_base_.annotations}}, {{_base_.pack}}]))
test_dataloader = val_dataloader
