# Trained on LVIS's base classes, tested on Pascal VOC 2007 without a step of
# training (ViLD, table of transfer: R50 AP50 72.2, AP75 56.7; ViLD-text 40.5,
# 31.6). The names are those of the test set; COCO's measure, difficult
# objects as its crowds.
_base_ = ['lvis-v1_lsj.py']
val_dataloader = dict(
    dataset=dict(
        _delete_=True, type='mmclip.OVVOCDataset', data_root='data/VOCdevkit/',
        ann_file='VOC2007/ImageSets/Main/test.txt', test_mode=True,
        data_prefix=dict(sub_data_root='VOC2007/'), pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmdet.Resize', scale=(1024, 1024), keep_ratio=True),
            dict(type='mmdet.LoadAnnotations', with_bbox=True),
            dict(type='mmdet.PackDetInputs',
                 meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                            'scale_factor', 'instances', 'text',
                            'custom_entities'))]))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True, type='mmclip.OVCocoMetric', metric=['bbox'])
test_evaluator = val_evaluator
