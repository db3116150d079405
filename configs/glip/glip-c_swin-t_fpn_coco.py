# GLIP-T (C): Objects365 and GoldG. Zero-shot on COCO 46.7 AP, fine-tuned
# 55.1 (paper, table 2).
_base_ = ['./glip-b_swin-t_fpn_coco.py']
