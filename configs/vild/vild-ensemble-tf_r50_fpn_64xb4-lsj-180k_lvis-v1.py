# ViLD-ensemble of the TensorFlow release, vild_ensemble_resnet.yaml: mask
# APr 18.0, APc 24.7, APf 30.6, AP 25.9.
_base_ = ['vild-tf_r50_fpn_64xb4-lsj-180k_lvis-v1.py']
model = dict(
    roi_head=dict(image_head=dict(_delete_=True, temperature=0.01)))
