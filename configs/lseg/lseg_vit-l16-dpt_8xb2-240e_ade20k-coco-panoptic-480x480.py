# Several data sets in one training. The released demo model was trained on the
# seven sets of MSeg; how they were mixed is not published. In this recipe
# every set keeps its own names, and further sets are added likewise.
_base_ = [
    '../_base_/models/lseg_vit-l16-dpt_480x480.py',
    '../_base_/datasets/ade20k-coco-panoptic_lseg.py',
    '../_base_/schedules/lseg_240e.py'
]
model = dict(decode_head=dict(phrases='ade20k'))
