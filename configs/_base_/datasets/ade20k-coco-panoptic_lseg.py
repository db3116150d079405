# ADE20K and COCO's panoptic classes in one training, each image scored against
# the names of its own set; tested on ADE20K.
_base_ = ['ade20k_lseg.py']
ade = {{_base_.train_dataloader.dataset}}
coco = dict(
    type='mmclip.COCOPanopticSegDataset', data_root='data/coco',
    data_prefix=dict(img_path='train2017', seg_map_path='semantic/train2017'),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(_scope_='mmseg', type='LoadAnnotations'),
        dict(type='mmengine.RandomResize', scale=(520, 520),
             ratio_range=(0.5, 2.0), keep_ratio=True),
        dict(type='mmseg.RandomCrop', crop_size=(480, 480)),
        dict(type='mmseg.RandomFlip', prob=0.5),
        dict(type='mmseg.PackSegInputs'),
    ])
train_dataloader = dict(dataset=dict(
    _delete_=True, type='mmengine.ConcatDataset',
    ignore_keys=['classes', 'palette', 'label_map', 'reduce_zero_label'],
    datasets=[dict(type='mmclip.OwnNamesDataset', dataset=ade),
              dict(type='mmclip.OwnNamesDataset', dataset=coco)]))
