# COCO's 133 panoptic classes as semantic maps, with the pipelines of ADE20K.
_base_ = ['ade20k_lseg.py']
load = [dict(type='LoadImageFromFile'),
        dict(_scope_='mmseg', type='LoadAnnotations')]
train_pipeline = [
    *load,
    dict(type='mmengine.RandomResize', scale=(520, 520),
         ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size=(480, 480)),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.PackSegInputs'),
]
test_pipeline = [*load, dict(type='mmseg.PackSegInputs')]
coco = dict(
    _delete_=True, type='mmclip.COCOPanopticSegDataset',
    data_root='data/coco',
    data_prefix=dict(img_path='train2017',
                     seg_map_path='semantic/train2017'))
train_dataloader = dict(dataset=dict(**coco, pipeline=train_pipeline))
coco_val = dict(coco, data_prefix=dict(img_path='val2017',
                                       seg_map_path='semantic/val2017'))
val_dataloader = dict(dataset=dict(**coco_val, pipeline=test_pipeline))
test_dataloader = val_dataloader
