# Trained on LVIS's base classes, tested on Objects365 v1 without a step of
# training (ViLD, table of transfer: R50 AP 11.8, AP50 18.2, AP75 12.6;
# ViLD-text 10.4, 15.8, 11.1). The names are those of the test set.
_base_ = ['lvis-v1_lsj.py']
test_root = 'data/Objects365/Obj365_v1/'
val_dataloader = dict(
    dataset=dict(
        _delete_=True, type='mmdet.Objects365V1Dataset', data_root=test_root,
        ann_file='annotations/objects365_val.json', test_mode=True,
        data_prefix=dict(img='val/'), pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmdet.Resize', scale=(1024, 1024), keep_ratio=True),
            dict(type='mmdet.LoadAnnotations', with_bbox=True),
            dict(type='mmdet.PackDetInputs',
                 meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                            'scale_factor', 'text', 'custom_entities'))]))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True, type='mmclip.OVCocoMetric', metric=['bbox'],
    ann_file=test_root + 'annotations/objects365_val.json')
test_evaluator = val_evaluator
