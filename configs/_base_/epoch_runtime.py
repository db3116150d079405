# The runtime of detectors whose schedule counts epochs.
_base_ = ['detection_runtime.py']
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
log_processor = dict(by_epoch=True)
