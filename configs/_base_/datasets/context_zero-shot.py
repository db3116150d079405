# Pascal Context, 59 names and the background; the shorter side is 448.
_base_ = ['voc2012_zero-shot.py']
val_dataloader = dict(
    dataset=dict(
        type='mmclip.OVSegContextDataset',
        data_root='data/VOCdevkit/VOC2010',
        data_prefix=dict(seg_map_path='SegmentationClassContext'),
        ann_file='ImageSets/SegmentationContext/val.txt'))
test_dataloader = val_dataloader
