# ViLD R152 of the TensorFlow release: distillation weight 1.0 (its README);
# mask APr 19.6, APc 21.6, APf 28.5, AP 24.0.
_base_ = ['vild-tf_r50_fpn_64xb4-lsj-180k_lvis-v1.py']
model = dict(
    backbone=dict(depth=152),
    roi_head=dict(loss_distill=dict(loss_weight=1.0)))
