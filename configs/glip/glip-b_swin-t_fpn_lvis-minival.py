# Zero-shot on LVIS, fixed APr/APc/APf/AP (paper, table 3): minival
# 13.5/12.8/22.2/17.8, val v1.0 4.2/7.6/18.6/11.3.
_base_ = ['./glip-a_swin-t_fpn_lvis-minival.py']
model = dict(bbox_head=dict(early_fuse=True))
