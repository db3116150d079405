# ViLD-text on mmdet's Mask R-CNN: ResNet-50 and FPN, two RPN convolutions,
# four convolutions and one linear layer in the box head, synchronised batch
# norm everywhere, no pretraining (ViLD, appendix; the TF release has a second
# linear layer and batch norm on both).
_base_ = ['mmdet::_base_/models/mask-rcnn_r50_fpn.py']
norm = dict(type='SyncBN', requires_grad=True)

# ---- what you will want to change ----
vocabulary = dict(  # without names: those of the dataset in use
    type='mmclip.Vocabulary',
    prompts='vild',
    embed_dims=512,
    text_encoder=dict(type='mmclip.CLIPTextEncoder', model='ViT-B-32',
                      pretrained='openai'))
# --------------------------------------

model = dict(
    type='mmclip.ViLD',
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(frozen_stages=-1, norm_eval=False, norm_cfg=norm,
                  init_cfg=None),
    neck=dict(norm_cfg=norm),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        type='mmclip.ViLDRoIHead',
        bbox_head=dict(
            type='mmdet.Shared4Conv1FCBBoxHead',
            conv_out_channels=256,
            norm_cfg=norm,
            reg_class_agnostic=True,
            cls_predictor_cfg=dict(
                type='mmclip.TextEmbeddingClassifier',
                vocabulary=vocabulary, temperature=0.01)),
        mask_head=dict(class_agnostic=True, norm_cfg=norm)),
    test_cfg=dict(rcnn=dict(score_thr=1e-4, max_per_img=300)))
