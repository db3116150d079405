# The 80 things of COCO-Stuff's maps, stuff being background.
_base_ = ['voc2012_zero-shot.py']
val_dataloader = dict(
    dataset=dict(
        type='mmclip.COCOObjectDataset', data_root='data/coco_stuff164k',
        data_prefix=dict(img_path='images/val2017',
                         seg_map_path='annotations/val2017'), ann_file=''))
test_dataloader = val_dataloader
