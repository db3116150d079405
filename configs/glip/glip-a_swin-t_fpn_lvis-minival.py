# Zero-shot on LVIS, fixed APr/APc/APf/AP (paper, table 3): minival
# 14.2/13.9/23.4/18.5, val v1.0 6.0/8.0/19.4/12.3.
_base_ = ['./glip-a_swin-t_fpn_coco.py']
model = dict(test_cfg=dict(max_per_img=300, chunked_size=40))
data_root = 'data/coco/'
ann_file = 'annotations/lvis_v1_minival_inserted_image_name.json'
val_dataloader = dict(
    dataset=dict(
        type='mmdet.LVISV1Dataset', data_root=data_root, ann_file=ann_file,
        data_prefix=dict(img='')))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True, type='mmdet.LVISFixedAPMetric',
    ann_file=data_root + ann_file)
test_evaluator = val_evaluator
