# ADE20K, 150 names and no background.
_base_ = ['voc2012_zero-shot.py']
load = [dict(type='LoadImageFromFile'),
        dict(type='mmseg.Resize', scale=(2048, 448), keep_ratio=True),
        dict(_scope_='mmseg', type='LoadAnnotations', reduce_zero_label=True)]
val_dataloader = dict(
    dataset=dict(
        type='mmseg.ADE20KDataset', data_root='data/ade/ADEChallengeData2016',
        data_prefix=dict(img_path='images/validation',
                         seg_map_path='annotations/validation'),
        ann_file='',
        pipeline=[*load, dict(type='mmseg.PackSegInputs')]))
test_dataloader = val_dataloader
