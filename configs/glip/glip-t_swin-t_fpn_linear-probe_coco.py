# GLIP-T with everything frozen but the last layers (paper, sec. 5.2).
_base_ = ['./glip-t_swin-t_fpn_coco.py']
custom_hooks = [
    dict(type='mmclip.RNGStateHook'),
    dict(type='mmclip.TuningModeHook', mode='linear_probe')
]
