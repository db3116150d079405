"""ViLD (Gu et al., ICLR 2022): detection whose classifier is text.

The paper's figure, left to right: ``roi_head.py`` pools regions,
``classifier.py`` compares them with the vocabulary, ``detector.py`` is
mmdet's Mask R-CNN with a vocabulary that can be replaced.
"""

from mmclip.vild.classifier import TextEmbeddingClassifier
from mmclip.vild.detector import ViLD
from mmclip.vild.roi_head import ViLDRoIHead
from mmclip.vild.top_first_nms import TopFirstNMS

__all__ = [
    'TextEmbeddingClassifier',
    'TopFirstNMS',
    'ViLD',
    'ViLDRoIHead',
]
