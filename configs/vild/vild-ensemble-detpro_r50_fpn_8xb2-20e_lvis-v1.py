# DetPro's "ViLD*" (its table 2): box APr 17.4, APc 27.5, APf 31.9, AP 27.5;
# mask 16.8, 25.6, 28.5, 25.2.
_base_ = ['vild-detpro_r50_fpn_8xb2-20e_lvis-v1.py']
model = dict(
    roi_head=dict(image_head=dict(_delete_=True, temperature=0.007)))
