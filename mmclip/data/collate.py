"""Stack samples into a batch, also where a config was inherited."""

from mmengine.dataset import default_collate

from mmclip.registry import FUNCTIONS


@FUNCTIONS.register_module()
def stack_samples(samples, _scope_=None):
    """Stack tensors, arrays and numbers as torch does.

    mmengine 0.10.7 runner/runner.py:1469 hands a collate function all that its
    config holds, ``_scope_`` of ``_base_ = ['mmclip::...']`` included, which
    ``mmengine.default_collate`` refuses.
    """
    return default_collate(samples)
