# Zero-shot on LVIS, fixed APr/APc/APf/AP (paper, table 3): minival
# 28.2/34.3/41.5/37.3, val v1.0 17.1/23.3/35.4/26.9.
_base_ = ['./glip-b_swin-t_fpn_lvis-minival.py']
model = dict(
    backbone=dict(
        embed_dims=192, depths=[2, 2, 18, 2], num_heads=[6, 12, 24, 48],
        window_size=12, drop_path_rate=0.4),
    neck=dict(in_channels=[384, 768, 1536]),
    bbox_head=dict(num_dyhead_blocks=8, fusion=dict(with_cp=True)))
