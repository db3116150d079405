# LSeg on the shapes world: no download, minutes on two CPU cores.
_base_ = [
    '../_base_/datasets/shapes_segmentation.py',
    '../_base_/schedules/shapes_600.py', '../_base_/segmentation_runtime.py'
]

# ---- what you will want to change ----
vocabulary = dict(  # without names: those of the dataset in use
    type='mmclip.Vocabulary', prompts='single', embed_dims=128,
    text_encoder=dict(type='mmclip.CLIPTextEncoder', model='shapes-clip'))
# --------------------------------------

channels = 64
model = dict(
    type='mmclip.LSeg',
    data_preprocessor=dict(  # CLIP's own statistics, RGB
        type='mmseg.SegDataPreProcessor', bgr_to_rgb=True,
        mean=[122.771, 116.746, 104.094], std=[68.501, 66.632, 70.323],
        size_divisor=32, seg_pad_val=255),
    backbone=dict(  # shapes-clip's image side as it is
        type='mmclip.CLIPImageEncoder', model='shapes-clip',
        out_indices=(1, 2, 3, 4), frozen=True),
    neck=dict(type='mmclip.DPTNeck', in_channels=[16, 32, 64, 128],
              channels=channels),
    decode_head=dict(
        type='mmclip.LSegHead', in_channels=channels, vocabulary=vocabulary,
        logit_scale=37,  # shapes-clip's own
        background=dict(kind='learnt')),
    test_cfg=dict(mode='whole'))

custom_hooks = [
    dict(type='mmclip.VocabularyHook'),
    dict(type='mmclip.RNGStateHook'),
    dict(type='mmclip.PicturesHook', count=16),
    dict(
        type='mmclip.ReportHook', scale=1,
        metrics=['base_mIoU', 'novel_mIoU', 'unseen_mIoU', 'hIoU'],
        next_steps=[
            'test it:    mmclip test {config} {checkpoint}',
            'segment:    mmclip segment IMAGE --text "background . red circle"'
            ' --model {work_dir}',
        ]),
]
