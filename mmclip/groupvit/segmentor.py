"""Segment by names with a pretrained GroupViT, as an mmseg model.

B images, G groups, K names, T sentences a name, D common width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmseg.models import BaseSegmentor, EncoderDecoder
from torch import Tensor

from mmclip.clip.prompts import prompt_set
from mmclip.clip.tokenizer import CLIPTokenizer
from mmclip.groupvit.losses import exponentiated
from mmclip.groupvit.segmentation import segment_scores
from mmclip.groupvit.towers import GroupViTTowers
from mmclip.registry import MODELS


@MODELS.register_module()
class GroupViTSegmentor(GroupViTTowers, EncoderDecoder):
    """Give each pixel the name of its group.

    mmseg's loops over whole images and sliding windows are used; windows run
    through the image encoder once. There is nothing to train here.

    Args:
        img_encoder, text_encoder, hidden_channels, out_channels,
        multi_label: As of
            :class:`mmclip.groupvit.pretrainer.GroupViTPretrainer`, whose
            checkpoints fit.
        names: K names; more or others through :meth:`set_vocabulary`.
        prompts: Prompt set or templates that names are written into, see
            :func:`mmclip.clip.prompts.prompt_set`.
        background_threshold: What a pixel's best score has to reach, else it
            is background, label 0 (published: 0.95 for VOC and COCO-Object,
            0.35 for Context). ``None`` for no background by threshold.
        background_prompts: Names that are background too.
        topk: How many names a window may hold; ``None`` for all.
        data_preprocessor, test_cfg, init_cfg: mmseg's. The mode is
            ``'whole'`` by default.
    """

    def __init__(
        self,
        img_encoder: dict | None = None,
        text_encoder: dict | None = None,
        hidden_channels: int = 4096,
        out_channels: int = 256,
        multi_label: bool = True,
        *,
        names: Sequence[str] | None = None,
        prompts: str | Sequence[str] = 'single',
        background_threshold: float | None = None,
        background_prompts: Sequence[str] = (),
        topk: int | None = 5,
        data_preprocessor: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg=None,
    ) -> None:
        # EncoderDecoder's own would build a decode head
        BaseSegmentor.__init__(self, data_preprocessor, init_cfg)
        self.build_towers(
            img_encoder,
            text_encoder,
            hidden_channels,
            out_channels,
            multi_label,
        )
        self.prompts, self.topk = prompts, topk
        self.background_threshold = background_threshold
        self.background_prompts = list(background_prompts)
        self.align_corners = False
        self.test_cfg = ConfigDict({'mode': 'whole', **(test_cfg or {})})
        self.names, self.text = None, None
        self.wanted = None if names is None else list(names)

    @property
    def has_background(self) -> bool:
        """Return whether label 0 is the background."""
        threshold = self.background_threshold is not None
        return threshold or bool(self.background_prompts)

    @property
    def out_channels(self) -> int:
        """Return how many labels there are, the background included."""
        self.ensure_vocabulary()
        return len(self.names) + self.has_background

    def set_vocabulary(
        self,
        names: Sequence[str],
        embeddings: Tensor | None = None,
    ) -> None:
        """Segment by other names from now on.

        Args:
            names: K names, without the background.
            embeddings: Text embeddings of the names (K, D), and then of
                ``background_prompts``; encoded here if not given.

        Raises:
            ValueError: There is no name, or another number of embeddings.
        """
        names = list(names)
        every = [*names, *self.background_prompts]
        if not names:
            raise ValueError('no names: give at least one to segment by')
        if embeddings is None:
            embeddings = self.embed_names(self.tokenize(every))
        if len(embeddings) != len(every):
            raise ValueError(
                f'{len(embeddings)} embeddings for {len(every)} names, '
                f'{len(self.background_prompts)} of the background included'
            )
        self.names, self.wanted = names, names
        self.text = F.normalize(embeddings.to(self.logit_scale), dim=-1)

    def tokenize(self, names: Sequence[str]) -> Tensor:
        """Write names into all templates: ids (K, T, L)."""
        prompts = prompt_set(self.prompts)
        tokenizer = CLIPTokenizer(
            context_length=self.text_encoder.context_length, truncate=True
        )
        ids = torch.stack([tokenizer(prompts.sentences(n)) for n in names])
        return ids.to(self.logit_scale.device)

    def ensure_vocabulary(self) -> None:
        """Encode the names once the weights are there.

        Raises:
            ValueError: No names were given.
        """
        if self.text is None and self.wanted is None:
            raise ValueError(
                'there are no names to segment by: pass names=[...] or call '
                'set_vocabulary(names)'
            )
        if self.text is None:
            self.set_vocabulary(self.wanted)

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        self.text = None  # of other weights
        super()._load_from_state_dict(*args, **kwargs)

    def extract_feat(self, inputs: Tensor):
        """Return image and group features and the grouping of images."""
        return self.encode_image(inputs)

    def encode_decode(self, inputs: Tensor, batch_img_metas=None) -> Tensor:
        """Score the pixels of images or windows (B, 3, H, W).

        Returns:
            Scores (B, labels, H, W); the background comes first.
        """
        self.ensure_vocabulary()
        image, groups, grouping = self.encode_image(inputs)
        return segment_scores(
            groups,
            image,
            grouping.labels(),
            self.text.to(groups),
            exponentiated(self.logit_scale),
            topk=self.topk,
            threshold=self.background_threshold,
            num_contrast=len(self.background_prompts),
        )

    def _forward(self, inputs: Tensor, data_samples=None) -> Tensor:
        return self.encode_decode(inputs)

    def loss(self, inputs, data_samples):
        """Refuse: masks are not what GroupViT learns from.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            'GroupViT learns from captions: train mmclip.GroupViTPretrainer '
            'and load its checkpoint here'
        )
