"""Classify regions by their similarity to text, with a learnt background.

R regions over all images, C region feature width, K names, D embedding width.
"""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmclip.clip.similarity import cosine_logits
from mmclip.registry import MODELS


@MODELS.register_module()
class TextEmbeddingClassifier(BaseModule):
    """The class predictor of a box head: project, normalise, compare.

    It takes the place of the last linear layer in any mmdet box head::

        bbox_head=dict(
            type='mmdet.Shared4Conv1FCBBoxHead',
            cls_predictor_cfg=dict(
                type='mmclip.TextEmbeddingClassifier',
                vocabulary=dict(type='mmclip.Vocabulary', ...)))

    The names come first and the background last, as mmdet's losses expect
    (the TF release puts it first). Source: ViLD paper, section 3.3 and eq. 2;
    temperatures as in DetPro's ViLD.

    Args:
        vocabulary: Config of a :class:`mmclip.clip.Vocabulary`. It may be
            empty until a checkpoint or ``set_vocabulary`` fills it.
        in_features: C; the box head sets it.
        out_features: Set by the box head and not used: the number of logits
            follows the vocabulary.
        temperature: Logits are cosines divided by it. 0.01 is CLIP's limit.
        test_temperature: The same in evaluation; None takes ``temperature``.
        embed_dims: D, where the vocabulary cannot tell it.
        init_cfg: As everywhere in mmengine.
    """

    def __init__(
        self,
        vocabulary: dict,
        in_features: int,
        out_features: int | None = None,
        *,
        temperature: float = 0.01,
        test_temperature: float | None = None,
        embed_dims: int | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if temperature <= 0 or (test_temperature or temperature) <= 0:
            raise ValueError(
                'temperature and test_temperature divide cosines and must be '
                f'above 0, got {temperature} and {test_temperature}: 0.01 is '
                "CLIP's own"
            )
        self.vocabulary = MODELS.build(vocabulary)
        embed_dims = embed_dims or self.vocabulary.embeddings.shape[1]
        if not embed_dims:
            raise ValueError(
                'the width of the text embeddings is not known before there '
                'are names: set embed_dims in the vocabulary (512 for '
                'ViT-B-32, 128 for shapes-clip)'
            )
        self.temperature = temperature
        self.test_temperature = test_temperature or temperature
        self.project = nn.Linear(in_features, embed_dims)
        self.background = nn.Parameter(torch.empty(embed_dims))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the projection (Xavier) and the background N(0, .01)."""
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        nn.init.normal_(self.background, std=0.01)

    def init_weights(self) -> None:
        """Undo what ``BBoxHead.init_cfg`` did to every ``fc_cls`` weight.

        It draws N(0, .01), meant for a linear classifier; before an L2 norm
        the scale of a projection should keep the variance of its input.
        """
        if self.init_cfg is None:
            self.reset_parameters()
        super().init_weights()

    def embed(self, features: Tensor) -> Tensor:
        """Map region features (R, C) to unit embeddings (R, D)."""
        return F.normalize(self.project(features), dim=-1)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (R, K + 1) of region features (R, C).

        Raises:
            RuntimeError: The vocabulary is empty.
        """
        names = self.vocabulary.embeddings  # (K, D)
        if len(names) == 0:
            raise RuntimeError(
                'the vocabulary is empty: give names or embeddings in the '
                "config, add dict(type='mmclip.VocabularyHook') to "
                'custom_hooks so that it follows the dataset, load a '
                'checkpoint, or call model.set_vocabulary(names)'
            )
        texts = torch.cat(
            [  # (K + 1, D)
                names,
                F.normalize(self.background, dim=0)[None].to(names.dtype),
            ]
        )
        scale = 1 / (
            self.temperature if self.training else self.test_temperature
        )
        return cosine_logits(self.embed(features), texts, scale)
