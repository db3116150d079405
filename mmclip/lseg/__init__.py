"""LSeg: pixels and class names in one space (Li et al., ICLR 2022)."""

from mmclip.lseg.backbone import LSegViT
from mmclip.lseg.dense_clip import CLIPDenseHead, DenseCLIPEncoder
from mmclip.lseg.head import LSegHead
from mmclip.lseg.neck import DPTNeck
from mmclip.lseg.segmentor import LSeg, SumLogitsTTAModel

__all__ = [
    'CLIPDenseHead',
    'DPTNeck',
    'DenseCLIPEncoder',
    'LSeg',
    'LSegHead',
    'LSegViT',
    'SumLogitsTTAModel',
]
