# F-VLM's recipe on a CLIP ConvNeXt. The large one: 'convnext_large_d_320',
# 'laion2b_s29b_b131k_ft_soup', width 768, channels 192 to 1536.
_base_ = ['fvlm_rn50_fpn_64xb4-lsj-46k_lvis-v1.py']
clip, tag = 'convnext_base_w_320', 'laion_aesthetic_s13b_b82k_augreg'
model = dict(
    backbone=dict(
        model=clip, init_cfg=dict(checkpoint=f'mmclip://{clip}/{tag}')),
    neck=dict(in_channels=[128, 256, 512, 1024]),
    roi_head=dict(
        score_source=dict(output_size=10),  # 320 px at stride 32
        bbox_head=dict(cls_predictor_cfg=dict(vocabulary=dict(
            embed_dims=640, text_encoder=dict(model=clip, pretrained=tag))))))
