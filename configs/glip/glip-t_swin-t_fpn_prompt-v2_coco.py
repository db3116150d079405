# GLIP-T with everything frozen but an offset on the words of the prompt
# (paper, sec. 5.2; learning rate and weight decay are the release's).
_base_ = ['./glip-t_swin-t_fpn_coco.py']
model = dict(prompt_tokens=1000)
optim_wrapper = dict(optimizer=dict(lr=0.05, weight_decay=0.25))
custom_hooks = [
    dict(type='mmclip.RNGStateHook'),
    dict(type='mmclip.TuningModeHook', mode='prompt_v2')
]
