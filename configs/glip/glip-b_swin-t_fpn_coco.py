# GLIP-T (B): fusion, trained on Objects365. Zero-shot on COCO 44.9 AP,
# fine-tuned 53.8 (paper, table 2).
_base_ = ['./glip-a_swin-t_fpn_coco.py']
model = dict(bbox_head=dict(early_fuse=True))
