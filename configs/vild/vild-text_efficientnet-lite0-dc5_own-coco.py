# ViLD-text on your own COCO-format data: text embeddings from a file, a
# frozen ImageNet backbone (docs/en/own_coco_data.md).
_base_ = ['mmdet::_base_/models/faster-rcnn_r50-caffe-dc5.py',
          '../_base_/datasets/coco-48-17_lsj.py',
          '../_base_/schedules/vild_180k.py',
          '../_base_/detection_runtime.py']
# ---- what you will want to change ----
data_root = 'data/own/'  # holds train2017/, val2017/ and annotations/
split = dict(data_root=data_root, base_classes={{_base_.base_classes}},
             novel_classes={{_base_.novel_classes}})
embeddings = data_root + 'text_embeddings.npy'  # (K, 512), of any length
names = data_root + 'annotations/instances_val2017.json'  # of the K, or .txt
weights = data_root + 'efficientnet_lite0.safetensors'
max_iters = 300
# --------------------------------------
width = 320  # of EfficientNet-Lite0's last stage
table = dict(type='mmclip.EmbeddingTable', embeddings=embeddings, names=names)
model = dict(
    type='mmclip.ViLD',
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3, bgr_to_rgb=True),
    backbone=dict(
        _delete_=True, type='mmclip.FrozenTimmBackbone', weights=weights,
        model='tf_efficientnet_lite0', out_indices=(4, ), output_stride=16),
    rpn_head=dict(in_channels=width, feat_channels=128),
    roi_head=dict(
        type='mmclip.ViLDRoIHead',
        bbox_roi_extractor=dict(
            out_channels=width, roi_layer=dict(output_size=3)),
        bbox_head=dict(  # one linear map of the features names a box
            type='mmdet.ConvFCBBoxHead', in_channels=width, roi_feat_size=3,
            num_reg_fcs=1, fc_out_channels=256,
            reg_class_agnostic=True, cls_predictor_cfg=dict(
                type='mmclip.TextEmbeddingClassifier', temperature=0.05,
                vocabulary=dict(type='mmclip.Vocabulary', prompts='name',
                                embed_dims=512, text_encoder=table)))),
    train_cfg=dict(rpn_proposal=dict(nms_pre=1000, max_per_img=300),
                   rcnn=dict(sampler=dict(num=64, pos_fraction=0.5))),
    test_cfg=dict(rpn=dict(nms_pre=1000, max_per_img=200)))
load = dict(type='LoadImageFromFile')
boxes = dict(type='mmdet.LoadAnnotations', with_bbox=True)
resize = dict(type='mmdet.Resize', scale=(512, 512), keep_ratio=True)
flip = dict(type='mmdet.RandomFlip', prob=0.5)
pack = dict(type='mmdet.PackDetInputs', meta_keys=(
    'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'text',
    'custom_entities'))
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(
    **split, pipeline=[load, boxes, resize, flip, pack]))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(
    **split, pipeline=[load, resize, boxes, pack]))
test_dataloader = val_dataloader
val_evaluator = dict(metric=['bbox'], ann_file=names)
test_evaluator = val_evaluator
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(clip_grad=dict(max_norm=10), optimizer=dict(
    _delete_=True, type='AdamW', lr=1e-3, weight_decay=1e-2))
param_scheduler = [dict(type='mmengine.CosineAnnealingLR', by_epoch=False)]
custom_hooks = [dict(type='mmclip.VocabularyHook'),
                dict(type='mmclip.RNGStateHook'),
                dict(type='mmclip.PicturesHook', count=24)]
