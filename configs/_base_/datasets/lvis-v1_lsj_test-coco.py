# Trained on LVIS's base classes, tested on COCO's 80 without a step of
# training (ViLD, table of transfer: R50 AP 36.6, AP50 55.6, AP75 39.8;
# ViLD-text 28.8, 43.4, 31.4). The names are those of the test set.
_base_ = ['lvis-v1_lsj.py']
test_root = 'data/coco/'
val_dataloader = dict(
    dataset=dict(
        _delete_=True, type='mmdet.CocoDataset', data_root=test_root,
        ann_file='annotations/instances_val2017.json', test_mode=True,
        data_prefix=dict(img='val2017/'),
        pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True, type='mmclip.OVCocoMetric', metric=['bbox'],
    ann_file=test_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator
