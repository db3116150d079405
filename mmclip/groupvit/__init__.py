"""GroupViT (Xu et al., CVPR 2022): segmentation that learns from captions.

The paper's figure, left to right: ``backbone.py`` cuts an image into patches
and merges them into segments, ``grouping.py`` is a stage and its grouping
block, ``attention.py`` decides which token goes to which group; ``text.py``
reads sentences, ``projector.py`` brings both to one width, ``losses.py``
compares them over all ranks (``gathering.py``).

``pretrainer.py`` trains (its modules: ``towers.py``), ``chunks.py`` lets a
batch be larger than the memory, ``nouns.py`` and ``transforms.py`` make
prompts of captions. ``segmentation.py`` names groups and paints pixels,
``combinations.py`` labels them where windows overlap and names are many;
``head.py`` with ``vocabulary.py``, ``segmentor.py`` and ``classifier.py`` are
that as models of mmseg and mmpretrain (which they need, so they are not
imported here), ``from_pretraining.py`` makes a segmentor of a pretraining.
``pictures.py`` shows groups. Beyond the paper: ``regions.py`` merges early
groups, ``crops.py`` those of several crops, ``group_counts.py`` changes their
number, ``rescoring.py`` asks another CLIP for names. ``convert.py`` reads and
writes the published checkpoints, ``layouts.py`` knows their names.
"""

from mmclip.groupvit.backbone import GroupViTBackbone
from mmclip.groupvit.losses import MultiLabelContrastiveLoss
from mmclip.groupvit.pretrainer import GroupViTPretrainer
from mmclip.groupvit.projector import GroupViTProjector
from mmclip.groupvit.text import GroupViTTextEncoder

__all__ = [
    'GroupViTBackbone',
    'GroupViTPretrainer',
    'GroupViTProjector',
    'GroupViTTextEncoder',
    'MultiLabelContrastiveLoss',
]
