# F-VLM (Kuo et al., 2023): Mask R-CNN upon a frozen CLIP ResNet-50 (release:
# fvlm/configs/model.gin and fvlm_train_and_eval.gin). Two RPN convolutions,
# four convolutions and one linear layer in the box head, batch norm in all.
_base_ = ['vild-text_r50_fpn.py']

# ---- what you will want to change: one CLIP for both sides ----
clip, tag, embed_dims = 'RN50', 'openai', 1024
channels = [256, 512, 1024, 2048]
# ---------------------------------------------------------------

model = dict(
    type='mmclip.FVLM',
    data_preprocessor=dict(  # CLIP's own statistics, RGB
        mean=[122.771, 116.746, 104.094], std=[68.501, 66.632, 70.323]),
    backbone=dict(
        _delete_=True, type='mmclip.CLIPImageEncoder', model=clip,
        init_cfg=dict(type='Pretrained', checkpoint=f'mmclip://{clip}/{tag}')),
    neck=dict(in_channels=channels),
    roi_head=dict(
        score_source=dict(type='mmclip.FrozenCLIPScores', output_size=7),
        score_fusion=dict(  # release, task_heads.py
            type='mmclip.GeometricScoreFusion', base=0.35, novel=0.65,
            normalize=True),
        bbox_head=dict(
            loss_cls=dict(
                _delete_=True, type='mmclip.OpenVocabCrossEntropyLoss',
                background_weight=0.9),
            cls_predictor_cfg=dict(
                vocabulary=dict(
                    embed_dims=embed_dims,
                    text_encoder=dict(model=clip, pretrained=tag))))))
