# The same with ViT-B/32, the encoder of the ablations (LSeg, table 5 and 6).
_base_ = ['lseg_vit-l16-dpt_8xb2-240e_ade20k-480x480.py']
model = dict(
    backbone=dict(model='vit_base_patch32_384', out_indices=(2, 5, 8, 11)),
    neck=dict(
        in_channels=[768] * 4,
        reassemble=dict(out_channels=[96, 192, 384, 768],
                        factors=[8, 4, 2, 1])))
