# LVIS v1, 866 base and 337 novel classes, in DetPro's scales; images of
# seldom base classes are repeated (threshold 1e-3; Gupta et al., 2019).
_base_ = ['coco-48-17_detpro.py']
data_root = 'data/lvis_v1/'
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='mmengine.ClassBalancedDataset',
        oversample_thr=1e-3, dataset=dict(
            type='mmclip.OVLVISV1Dataset', data_root=data_root,
            classes_of=('base', ), data_prefix=dict(img=''),
            ann_file='annotations/lvis_v1_train.json',
            filter_cfg=dict(filter_empty_gt=True, min_size=32),
            pipeline={{_base_.train_pipeline}})))
val_dataloader = dict(
    dataset=dict(
        _delete_=True, type='mmclip.OVLVISV1Dataset', data_root=data_root,
        data_prefix=dict(img=''), test_mode=True,
        ann_file='annotations/lvis_v1_val.json',
        pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True, type='mmclip.OVLVISMetric', metric=['bbox', 'segm'],
    ann_file=data_root + 'annotations/lvis_v1_val.json')
test_evaluator = val_evaluator
