# ADE20K's recipe on COCO's 133 panoptic classes. The released code names the
# data set but no schedule of its own, so epochs and rates are ADE20K's.
_base_ = [
    '../_base_/models/lseg_vit-l16-dpt_480x480.py',
    '../_base_/datasets/coco-panoptic_lseg.py',
    '../_base_/schedules/lseg_240e.py'
]
