# Self-training of GLIP-T (paper, sec. 3.3): gold data and captions in which
# GLIP-T (C) has drawn the boxes, in the paper four million of the web:
# tools/glip/pseudo_label.py TEACHER captions.jsonl images data/captions/labels
# Published: 46.3 AP on COCO (table 2), 26.0 on LVIS minival where the teacher
# has 24.9 (table 3).
_base_ = ['./glip-c_swin-t_fpn_32xb2-30e_o365-goldg.py']
captioned = dict(
    type='mmclip.GroundingDataset', return_classes=True,
    data_root='data/captions/', ann_file='labels/labels.jsonl',
    data_prefix=dict(img='images/'), pipeline={{_base_.train_pipeline}})
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='mmengine.ConcatDataset',
        ignore_keys=['dataset_mode'],
        datasets=[{{_base_.gold}}, captioned]))
