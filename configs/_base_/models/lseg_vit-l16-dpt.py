# LSeg's network: ViT-L/16 pretrained on ImageNet-21k (timm's
# vit_large_patch16_384), four layers reassembled and fused as in DPT, names
# encoded by CLIP ViT-B/32 without any template (LSeg, sec. 3 and 4).
norm = dict(type='SyncBN', requires_grad=True)

# ---- what you will want to change ----
vocabulary = dict(  # without names: those of the dataset in use
    type='mmclip.Vocabulary', prompts='name', embed_dims=512,
    text_encoder=dict(type='mmclip.CLIPTextEncoder',
                      model='ViT-B-32-quickgelu', pretrained='openai'))
weights = 'timm'  # its own download when a training starts, or a file
# --------------------------------------

model = dict(
    type='mmclip.LSeg',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor', bgr_to_rgb=True,
        mean=[127.5] * 3, std=[127.5] * 3,
        size_divisor=32, pad_val=-1, seg_pad_val=255),  # black
    backbone=dict(
        type='mmclip.LSegViT', model='vit_large_patch16_384',
        out_indices=(5, 11, 17, 23), weights=weights),
    neck=dict(
        type='mmclip.DPTNeck', in_channels=[1024] * 4, channels=256,
        norm_cfg=norm,
        reassemble=dict(out_channels=[256, 512, 1024, 1024],
                        factors=[4, 2, 1, 0.5], readout='project')),
    decode_head=dict(
        type='mmclip.LSegHead', in_channels=256, vocabulary=vocabulary),
    test_cfg=dict(mode='whole'))
