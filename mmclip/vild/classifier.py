"""Bring regions into the space of the text, and classify them there.

R regions over all images, C region feature width, K names, D embedding width.
"""

from contextlib import contextmanager

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmclip.clip.similarity import cosine_logits
from mmclip.registry import MODELS


def check_temperature(value: float, name: str = 'temperature') -> float:
    """Return ``value`` if cosines can be divided by it.

    Raises:
        ValueError: It is not above 0.
    """
    if value <= 0:
        raise ValueError(
            f'{name} divides cosines and must be above 0, got {value}: '
            "0.01 is CLIP's own"
        )
    return value


@MODELS.register_module()
class EmbeddingPredictor(BaseModule):
    """Project region features and bring them to length 1.

    As the ``cls_predictor_cfg`` of any mmdet box head it makes that head
    return embeddings in the place of class scores: the second branch of
    ViLD-ensemble. Source: ViLD paper, section 3.3, fig. 3d.

    Args:
        in_features: C; the box head sets it.
        out_features: Set by the box head and not used.
        embed_dims: D, the width of the teacher's and the text embeddings.
        temperature: Cosines with text are divided by it at test time.
        init_cfg: As everywhere in mmengine.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        embed_dims: int,
        temperature: float = 0.01,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.temperature = check_temperature(temperature)
        self.project = nn.Linear(in_features, embed_dims)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the projection (Xavier)."""
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.zeros_(self.project.bias)

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
        """See :meth:`embed`."""
        return self.embed(features)


@MODELS.register_module()
class TextEmbeddingClassifier(EmbeddingPredictor):
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
        vocabulary = MODELS.build(vocabulary)
        embed_dims = embed_dims or vocabulary.embeddings.shape[1]
        if not embed_dims:
            raise ValueError(
                'the width of the text embeddings is not known before there '
                'are names: set embed_dims in the vocabulary (512 for '
                'ViT-B-32, 128 for shapes-clip)'
            )
        super().__init__(
            in_features,
            embed_dims=embed_dims,
            temperature=temperature,
            init_cfg=init_cfg,
        )
        self.vocabulary = vocabulary
        self.test_temperature = check_temperature(
            temperature if test_temperature is None else test_temperature,
            'test_temperature',
        )
        self.background = nn.Parameter(torch.empty(embed_dims))
        nn.init.normal_(self.background, std=0.01)
        self._answers_embeddings = False

    def reset_parameters(self) -> None:
        """Draw the projection (Xavier) and the background N(0, .01)."""
        super().reset_parameters()
        if hasattr(self, 'background'):  # the parent's constructor comes first
            nn.init.normal_(self.background, std=0.01)

    @contextmanager
    def answering_embeddings(self):
        """Return embeddings (R, D) in the place of logits within the block.

        It lets any box head be run as far as the embedding, whatever its
        layers are.
        """
        self._answers_embeddings = True
        try:
            yield
        finally:
            self._answers_embeddings = False

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (R, K + 1) of region features (R, C).

        Raises:
            RuntimeError: The vocabulary is empty.
        """
        embeddings = self.embed(features)
        if self._answers_embeddings:
            return embeddings
        return self.classify(embeddings)

    def classify(self, embeddings: Tensor) -> Tensor:
        """Return logits (R, K + 1) of region embeddings (R, D).

        Raises:
            RuntimeError: The vocabulary is empty.
        """
        names = self.vocabulary.embeddings  # (K, D)
        if len(names) == 0:
            raise RuntimeError(
                'the vocabulary is empty: give names or embeddings in the '
                "config, add dict(type='mmclip.VocabularyHook') to "
                'custom_hooks so that it follows the dataset (it asks the '
                "RoI head, which must be 'mmclip.ViLDRoIHead'), load a "
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
        return cosine_logits(embeddings, texts, scale)
