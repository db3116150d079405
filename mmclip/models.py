"""Every registered model, and the location the registries look in.

A method whose framework is absent is left out; asking for one of its names
says which package is missing.
"""

from importlib import import_module

METHODS = {
    'mmclip.clip.scheme': (),  # weights named in init_cfg
    'mmclip.clip.image': ('CLIPImageEncoder',),
    'mmclip.clip.table': ('EmbeddingTable',),
    'mmclip.clip.text': ('CLIPTextEncoder',),
    'mmclip.clip.timm_backbone': ('FrozenTimmBackbone',),
    'mmclip.clip.vocabulary': ('Vocabulary',),
    'mmclip.clip.segmentor': ('OpenVocabEncoderDecoder',),
    'mmclip.groupvit': (
        'GroupViTBackbone',
        'GroupViTPretrainer',
        'GroupViTProjector',
        'GroupViTTextEncoder',
        'MultiLabelContrastiveLoss',
    ),
    'mmclip.groupvit.classifier': ('GroupViTClassifier',),
    'mmclip.groupvit.segmentor': ('GroupViTSegmentor',),
    'mmclip.glip.bert': ('GLIPBert',),
    'mmclip.glip.box_coder': ('GLIPBBoxCoder',),
    'mmclip.glip.fusion': (
        'BiAttentionFusion',
        'SeparateBiAttentionFusion',
        'TextToImageFusion',
    ),
    'mmclip.glip.caption_head': ('CaptionHead',),
    'mmclip.glip.clip_text_tokens': ('CLIPTextTokens',),
    'mmclip.glip.detector': ('GLIPDetector',),
    'mmclip.glip.glipv2': ('GLIPv2Detector',),
    'mmclip.glip.head': ('GLIPHead',),
    'mmclip.glip.mask_head': ('VLMaskHead',),
    'mmclip.glip.neck': (
        'TextConditionedSingleStage',
        'TextConditionedTwoStage',
        'VLFusionNeck',
    ),
    'mmclip.glip.token_losses': ('TokenFocalLoss',),
    'mmclip.glip.losses': ('InterImageRegionWordLoss', 'MaskedWordHead'),
    'mmclip.glip.tokenizer': ('CLIPSpanTokenizer', 'WordPieceTokenizer'),
    'mmclip.glip.unified_model': ('GLIPv2',),
    'mmclip.glip.vqa_head': ('VQAHead',),
    'mmclip.lseg': (
        'CLIPDenseHead',
        'DPTNeck',
        'DenseCLIPEncoder',
        'LSeg',
        'LSegHead',
        'LSegViT',
        'SumLogitsTTAModel',
    ),
    'mmclip.clipasso': (
        'AnalyticRasterizer',
        'CLIPFeatureExtractor',
        'CLIPGeometricLoss',
        'CLIPSemanticLoss',
        'CLIPassoSketcher',
        'DiffVGRasterizer',
        'ForegroundWeightedLoss',
        'NestedStrokeLoss',
        'PairedAugment',
        'PixelPyramid',
        'RandomStrokeInit',
        'SVGStrokeInit',
        'SaliencyStrokeInit',
        'StrokeCountLoss',
        'TimmFeatureExtractor',
    ),
    'mmclip.vild': (
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
    ),
}
MISSING: dict[str, str] = {}  # class name -> the package it needs
__all__ = []

for _module, _names in METHODS.items():
    try:
        _loaded = import_module(_module)
    except ModuleNotFoundError as error:
        if error.name and error.name.split('.')[0] == 'mmclip':
            raise
        MISSING.update(dict.fromkeys(_names, error.name))
        continue
    for _name in _names:
        globals()[_name] = getattr(_loaded, _name)
        __all__.append(_name)


def __getattr__(name: str):
    if name in MISSING:
        raise ImportError(
            f"'{name}' needs the package '{MISSING[name]}', which is not "
            'installed: pip install "mmclip[lite]" brings all that is needed'
        )
    raise AttributeError(f"module 'mmclip.models' has no attribute '{name}'")
