# ViLD-ensemble R152 of the TensorFlow release: distillation weight 2.0 (its
# README); mask APr 19.2, APc 24.8, APf 30.8, AP 26.2.
_base_ = ['vild-ensemble-tf_r50_fpn_64xb4-lsj-180k_lvis-v1.py']
model = dict(
    backbone=dict(depth=152),
    roi_head=dict(loss_distill=dict(loss_weight=2.0)))
