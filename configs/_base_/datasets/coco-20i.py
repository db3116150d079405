# COCO-20i, as PASCAL-5i with twenty classes a fold.
_base_ = ['pascal-5i.py']
train_dataloader = dict(dataset=dict(
    type='mmclip.COCO20iDataset', data_root='data/coco2014',
    ann_file='coco-20i/train.txt',
    data_prefix=dict(img_path='train2014',
                     seg_map_path='annotations/train2014')))
val_dataloader = dict(dataset=dict(
    type='mmclip.COCO20iDataset', data_root='data/coco2014',
    ann_file='coco-20i/test.txt',
    data_prefix=dict(img_path='val2014', seg_map_path='annotations/val2014')))
test_dataloader = val_dataloader
