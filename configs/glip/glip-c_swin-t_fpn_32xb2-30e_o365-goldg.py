# Pre-training of GLIP-T (C) on gold data: Objects365, and GoldG without COCO.
# As microsoft/GLIP trains: AdamW, 1e-4 and 1e-5 for BERT, batch 64, 30 epochs,
# a tenth from .67 and from .89 of them, EMA .999, gradients of norm 1, shorter
# sides 480 to 800. Tests on COCO, which it has not seen: 46.7 AP (table 2).
# mmdet's converters make the ODVG files.
_base_ = ['./glip-c_swin-t_fpn_coco.py']
vocabulary = 'data/bert-base-uncased/vocab.txt'
flickr, gqa = 'data/flickr30k_entities/', 'data/gqa/'
phrases = [flickr + 'final_flickr_separateGT_train_vg.json',
           gqa + 'final_mixed_train_no_coco_vg.json']
train_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.GTBoxSubOne_GLIP'),
    dict(type='mmengine.RandomChoiceResize', keep_ratio=True,
         scales=[(1333, side) for side in (480, 560, 640, 720, 800)],
         resize_type='mmdet.FixScaleResize', backend='pillow'),
    dict(type='mmdet.RandomFlip_GLIP', prob=0.5),
    dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1, 1),
         keep_empty=False),
    dict(type='mmclip.SampleNegativeClasses', tokenizer=vocabulary),
    dict(type='mmclip.PackNegativeCaptions', tokenizer=vocabulary,
         captions=phrases),
    dict(type='mmdet.PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                    'scale_factor', 'flip', 'flip_direction', 'text',
                    'tokens_positive', 'tokens_ignored')),
]
grounded = dict(type='mmclip.GroundingDataset', return_classes=True,
                pipeline=train_pipeline)
gold = dict(
    type='mmengine.ConcatDataset', ignore_keys=['dataset_mode'],
    datasets=[
        dict(grounded, data_root='data/objects365v1/',
             ann_file='o365v1_train_odvg.json', data_prefix=dict(img='train/'),
             label_map_file='o365v1_label_map.json'),
        dict(grounded, data_root=flickr, ann_file=phrases[0][len(flickr):],
             data_prefix=dict(img='flickr30k_images/')),
        dict(grounded, data_root=gqa, ann_file=phrases[1][len(gqa):],
             data_prefix=dict(img='images/'))])
train_dataloader = dict(dataset=dict(_delete_=True, **gold))
train_cfg = dict(max_epochs=30)
optim_wrapper = dict(
    _delete_=True, type='mmengine.AmpOptimWrapper', loss_scale='dynamic',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    paramwise_cfg=dict(bias_lr_mult=2,
                       custom_keys=dict(language_model=dict(lr_mult=0.1))),
    clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=0.001, by_epoch=False,
         end=2000),
    dict(type='mmengine.MultiStepLR', milestones=[20, 27], gamma=0.1)]
custom_hooks = [dict(type='mmclip.RNGStateHook'),
                dict(type='mmengine.EMAHook', momentum=0.001)]
auto_scale_lr = dict(enable=False, base_batch_size=64)
