# GLIP-T: Objects365, GoldG and Cap4M. Zero-shot on COCO 46.3 AP,
# fine-tuned 54.9 (paper, table 2); the released weights, trained on CC3M and
# SBU in place of Cap4M, 46.6 and 55.2.
_base_ = ['./glip-c_swin-t_fpn_coco.py']
