# F-VLM's recipe on a CLIP ViT: four blocks under a pyramid of one stride, the
# values of the last block as the map of regions. Weights of the fusion as
# F-ViT has them (facts of Wu et al., 2024: .1 to .2 base, .4 to .45 novel).
_base_ = ['fvlm_rn50_fpn_64xb4-lsj-46k_lvis-v1.py']
clip, tag = 'ViT-B-16-quickgelu', 'openai'
norm = dict(type='SyncBN', requires_grad=True)
model = dict(
    backbone=dict(
        model=clip, out_indices=(3, 5, 7, 11),
        init_cfg=dict(checkpoint=f'mmclip://{clip}/{tag}')),
    neck=[
        dict(type='mmseg.Feature2Pyramid', embed_dim=768, norm_cfg=norm),
        dict(type='mmdet.FPN', in_channels=[768] * 4, out_channels=256,
             num_outs=5, norm_cfg=norm)],
    roi_head=dict(
        score_source=dict(output_size=3),
        score_fusion=dict(base=0.1, novel=0.4),
        bbox_head=dict(cls_predictor_cfg=dict(vocabulary=dict(
            embed_dims=512, text_encoder=dict(model=clip, pretrained=tag))))))
