# Zero-shot on LVIS, fixed APr/APc/APf/AP (paper, table 3): minival
# 20.8/21.4/31.0/26.0, val v1.0 10.1/12.5/25.5/17.2.
_base_ = ['./glip-b_swin-t_fpn_lvis-minival.py']
