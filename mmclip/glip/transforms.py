"""The transforms that make training captions of classes and phrases."""

from mmclip.glip.class_captions import SampleNegativeClasses
from mmclip.glip.masking import MaskWords
from mmclip.glip.packed_captions import PackNegativeCaptions

__all__ = ['MaskWords', 'PackNegativeCaptions', 'SampleNegativeClasses']
