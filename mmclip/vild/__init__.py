"""ViLD (Gu et al., ICLR 2022): detection whose classifier is text.

The paper's figure, left to right: ``roi_head.py`` pools regions,
``classifier.py`` compares them with the vocabulary, ``detector.py`` is
mmdet's Mask R-CNN with a vocabulary that can be replaced.

What the image branch learns comes from a frozen CLIP. Once and for all:
``proposals.py`` keeps a proposal network's boxes, ``crops.py`` cuts them out,
``crop_encoder.py`` embeds them, ``teacher_cache.py`` keeps the embeddings in
``shards.py``, ``transforms.py`` brings them through the pipeline. Or in each
iteration: ``online_teacher.py``.
"""

from mmclip.vild.classifier import TextEmbeddingClassifier
from mmclip.vild.detector import ViLD
from mmclip.vild.online_teacher import OnlineTeacher
from mmclip.vild.roi_head import ViLDRoIHead
from mmclip.vild.top_first_nms import TopFirstNMS

__all__ = [
    'OnlineTeacher',
    'TextEmbeddingClassifier',
    'TopFirstNMS',
    'ViLD',
    'ViLDRoIHead',
]
