"""ViLD (Gu et al., ICLR 2022): detection whose classifier is text.

The paper's figure, left to right: ``roi_head.py`` pools regions,
``classifier.py`` compares them with the vocabulary, ``losses.py`` pulls the
student to CLIP's image embeddings, ``score_fusion.py`` joins both branches,
``detector.py`` is mmdet's Mask R-CNN with a vocabulary that can be replaced.

What the image branch learns comes from a frozen CLIP. Once and for all:
``proposals.py`` keeps a proposal network's boxes, ``crops.py`` cuts them out,
``crop_encoder.py`` embeds them, ``teacher_cache.py`` keeps the embeddings in
``shards.py``, ``transforms.py`` brings them through the pipeline. Or in each
iteration: ``online_teacher.py``.

For the TensorFlow release, layer by layer: ``backbone.py``, ``neck.py``,
``rpn_head.py``, ``roi_extractor.py``, ``box_head.py``, ``box_coder.py``,
``mask_head.py``; ``convert.py`` reads its checkpoints.
"""

from mmclip.vild.backbone import ViLDResNet
from mmclip.vild.box_coder import ViLDBBoxCoder
from mmclip.vild.box_head import ViLDConvFCBBoxHead
from mmclip.vild.classifier import EmbeddingPredictor, TextEmbeddingClassifier
from mmclip.vild.clip_on_crops import CropCLIPScores
from mmclip.vild.detector import ViLD
from mmclip.vild.fvlm import FVLM, FrozenCLIPScores
from mmclip.vild.losses import (
    EmbeddingL1Loss,
    MeanHuberLoss,
    OpenVocabCrossEntropyLoss,
)
from mmclip.vild.mask_head import ViLDMaskHead
from mmclip.vild.neck import ViLDFPN
from mmclip.vild.online_teacher import OnlineTeacher
from mmclip.vild.roi_extractor import ViLDRoIExtractor
from mmclip.vild.roi_head import ViLDRoIHead
from mmclip.vild.rpn_head import ViLDRPNHead
from mmclip.vild.score_fusion import GeometricScoreFusion
from mmclip.vild.top_first_nms import TopFirstNMS

__all__ = [
    'CropCLIPScores',
    'EmbeddingL1Loss',
    'EmbeddingPredictor',
    'FVLM',
    'FrozenCLIPScores',
    'GeometricScoreFusion',
    'MeanHuberLoss',
    'OnlineTeacher',
    'OpenVocabCrossEntropyLoss',
    'TextEmbeddingClassifier',
    'TopFirstNMS',
    'ViLD',
    'ViLDBBoxCoder',
    'ViLDConvFCBBoxHead',
    'ViLDFPN',
    'ViLDMaskHead',
    'ViLDRPNHead',
    'ViLDResNet',
    'ViLDRoIExtractor',
    'ViLDRoIHead',
]
