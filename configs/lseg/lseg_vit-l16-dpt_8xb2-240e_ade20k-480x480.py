# The released recipe on ADE20K, 150 names.
_base_ = [
    '../_base_/models/lseg_vit-l16-dpt.py',
    '../_base_/datasets/ade20k_lseg.py',
    '../_base_/schedules/lseg_240e.py'
]
model = dict(
    data_preprocessor=dict(size=(480, 480), size_divisor=None),
    # 'ade20k-released' for checkpoints as released: see word_lists.py
    decode_head=dict(phrases='ade20k'),
    # the authors' test; dict(mode='slide', crop_size=(480, 480),
    # stride=(320, 320)) is mmseg's
    test_cfg=dict(mode='multi_scale', base_size=520, crop_size=480,
                  scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75), flip=True))
