# The released recipe on ADE20K, 150 names.
_base_ = [
    '../_base_/models/lseg_vit-l16-dpt_480x480.py',
    '../_base_/datasets/ade20k_lseg.py',
    '../_base_/schedules/lseg_240e.py'
]
# 'ade20k-released' for checkpoints as released: see word_lists.py
model = dict(decode_head=dict(phrases='ade20k'))
