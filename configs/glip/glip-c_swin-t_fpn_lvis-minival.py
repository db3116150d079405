# Zero-shot on LVIS, fixed APr/APc/APf/AP (paper, table 3): minival
# 17.7/19.5/31.0/24.9, val v1.0 7.5/11.6/26.1/16.5.
_base_ = ['./glip-b_swin-t_fpn_lvis-minival.py']
