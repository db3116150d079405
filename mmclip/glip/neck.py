"""GLIP's fusion as a neck, before any head of mmdet."""

from collections.abc import Sequence

from mmdet.models.detectors import SingleStageDetector, TwoStageDetector
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmclip.glip.bert_layers import BertEncoderLayer
from mmclip.glip.fusion import cut_to_words
from mmclip.glip.reading import TextConditioned
from mmclip.registry import MODELS


@MODELS.register_module()
class VLFusionNeck(BaseModule):
    """Fuse levels with words in some rounds.

    Args:
        in_channels: Channels of the levels.
        language_dim: Width of the words.
        fusion: Config of a fusion; widths may be left out.
        text_layer: ``heads`` and ``intermediate`` of a language layer behind
            each fusion; None for none.
        num_layers: Rounds.
        init_cfg: As for mmengine's BaseModule.
    """

    def __init__(
        self,
        in_channels: int = 256,
        language_dim: int = 768,
        *,
        fusion: dict | None = None,
        text_layer: dict | None = None,
        num_layers: int = 1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        config = dict(
            type='mmclip.BiAttentionFusion',
            v_dim=in_channels,
            l_dim=language_dim,
        )
        config |= fusion or {}
        self.fusions = nn.ModuleList(
            MODELS.build(config) for _ in range(num_layers)
        )
        self.text_layers = nn.ModuleList(
            BertEncoderLayer(language_dim, clamp=True, **text_layer)
            for _ in range(num_layers if text_layer is not None else 0)
        )

    def forward(
        self, levels: Sequence[Tensor], language: dict[str, Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        """Return fused levels and words; see :mod:`mmclip.glip.fusion`."""
        language = cut_to_words(language)
        words, masks = language['hidden'], language['masks'].bool()
        levels = list(levels)
        for k, fusion in enumerate(self.fusions):
            levels, words = fusion(levels, words, masks)
            if len(self.text_layers):
                words = self.text_layers[k](words, masks)
        return levels, words


@MODELS.register_module()
class TextConditionedSingleStage(TextConditioned, SingleStageDetector):
    """Any one-stage detector of mmdet whose levels have read the caption.

    Args:
        language_model: Config of a language model.
        fusion_neck: Config of a :class:`VLFusionNeck`.
        text_cache: Captions kept in eval mode.
        **kwargs: As for mmdet's SingleStageDetector.
    """


@MODELS.register_module()
class TextConditionedTwoStage(TextConditioned, TwoStageDetector):
    """Any two-stage detector of mmdet, likewise.

    Args:
        language_model: Config of a language model.
        fusion_neck: Config of a :class:`VLFusionNeck`.
        text_cache: Captions kept in eval mode.
        **kwargs: As for mmdet's TwoStageDetector.
    """
