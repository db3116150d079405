# Training on crops of 480 and the authors' multi-scale test: six scales of a
# longer side of 520, mirrored windows, raw scores summed (released code).
# dict(mode='slide', crop_size=(480, 480), stride=(320, 320)) is mmseg's test.
_base_ = ['lseg_vit-l16-dpt.py']
model = dict(
    data_preprocessor=dict(size=(480, 480), size_divisor=None),
    test_cfg=dict(mode='multi_scale', base_size=520, crop_size=480,
                  scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75), flip=True))
