"""Segment by names with a pretrained GroupViT, as an mmseg model.

B images, G groups, K names, D common width, H x W pixels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.models import BaseSegmentor
from torch import Tensor

from mmclip.clip.segmentor import OpenVocabEncoderDecoder
from mmclip.clip.windows import windows_of
from mmclip.groupvit.combinations import best_names, combine
from mmclip.groupvit.crops import merge_crops, merged_scores
from mmclip.groupvit.head import GroupFeatures, GroupViTHead
from mmclip.groupvit.losses import exponentiated
from mmclip.groupvit.regions import Regions
from mmclip.groupvit.rescoring import MaskRescoring
from mmclip.groupvit.segmentation import paint
from mmclip.groupvit.towers import GroupViTTowers
from mmclip.groupvit.vocabulary import OwnVocabulary
from mmclip.registry import MODELS


@MODELS.register_module()
class GroupViTSegmentor(GroupViTTowers, OpenVocabEncoderDecoder):
    """Give each pixel the name of its group.

    Names change as in any :class:`OpenVocabEncoderDecoder`: through
    ``set_vocabulary``, through ``text`` of a data sample, or following the
    data set (``mmclip.VocabularyHook``). Whole images and sliding windows go
    through the image encoder once. There is nothing to train here.

    Args:
        img_encoder: As of
            :class:`mmclip.groupvit.pretrainer.GroupViTPretrainer`, whose
            checkpoints fit; so are the next four.
        text_encoder: Config of the text encoder.
        hidden_channels: Width within the projectors.
        out_channels: Width of the common space.
        multi_label: Whether the checkpoint has that loss's scale.
        names: K names; more or others through :meth:`set_vocabulary`.
        tokenizer: ``'clip'`` or ``'shapes'``, see
            :func:`mmclip.groupvit.transforms.tokenizer_of`.
        prompts: Prompt set or templates that names are written into, see
            :func:`mmclip.clip.prompts.prompt_set`.
        phrases: What to say for a name instead of the name.
        background: Arguments of
            :class:`mmclip.groupvit.head.GroupBackground`. It acts while the
            vocabulary holds the name ``'background'``; None for none.
        topk: How many names a window may hold; None for all.
        assignment: ``'soft'``: shares of the stages are multiplied, as the
            published models are evaluated; ``'hard'``: each token's best
            group alone, as in the paper.
        regions: Arguments of :class:`mmclip.groupvit.regions.Regions`, which
            merges other groups than the last stage's; None for those.
        rescoring: Arguments of
            :class:`mmclip.groupvit.rescoring.MaskRescoring`: a frozen CLIP
            that has a say in the groups' names; None for none.
        chunk: With more names than this, labels are found without the
            scores of all names at all pixels, as of
            :class:`OpenVocabEncoderDecoder`; they are the same.
        data_preprocessor, init_cfg: mmseg's.
        test_cfg: mmseg's, ``'whole'`` by default; or ``dict(mode='merge',
            crop_size=..., stride=..., threshold=0.9)`` for windows whose
            groups are merged before they are named
            (:mod:`mmclip.groupvit.crops`).
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
        tokenizer: str = 'clip',
        prompts: str | Sequence[str] = 'single',
        phrases: dict | None = None,
        background: dict | None = None,
        topk: int | None = 5,
        assignment: str = 'soft',
        regions: dict | None = None,
        rescoring: dict | None = None,
        chunk: int | None = 32,
        data_preprocessor: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg=None,
    ) -> None:
        # EncoderDecoder's own would build a backbone and a decode head
        BaseSegmentor.__init__(self, data_preprocessor, init_cfg)
        self.build_towers(
            img_encoder,
            text_encoder,
            hidden_channels,
            out_channels,
            multi_label,
        )
        if assignment not in ('soft', 'hard'):
            raise ValueError(
                f"assignment='{assignment}': expected 'soft' or 'hard'"
            )
        self.hard = assignment == 'hard'
        self.regions = None if regions is None else Regions(**regions)
        rescoring = None if rescoring is None else MaskRescoring(**rescoring)
        self.size_divisor, self.chunk, self.dense = 1, chunk, None
        self.align_corners = False
        self.test_cfg = ConfigDict({'mode': 'whole', **(test_cfg or {})})
        vocabulary = OwnVocabulary(
            self.encode_names,
            self.text_encoder.context_length,
            prompts=prompts,
            phrases=phrases,
            tokenizer=tokenizer,
            silent=(background or {}).get('name', background and 'background'),
        )
        self.decode_head = GroupViTHead(
            vocabulary,
            self.scale,
            background=background,
            topk=topk,
            rescoring=rescoring,
        )
        if names is not None:
            self.set_vocabulary(names)

    def scale(self) -> Tensor:
        """Return the factor on the cosine."""
        return exponentiated(self.logit_scale)

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        self.decode_head.forget()  # what other weights encoded
        super()._load_from_state_dict(*args, **kwargs)

    def extract_feat(self, inputs: Tensor) -> GroupFeatures:
        """Group images (B, 3, H, W) and embed the groups, in float32."""
        image, groups, grouping = self.encode_image(inputs.to(self.dtype))
        if self.regions is None:
            labels = grouping.labels(hard=self.hard)
        else:
            groups, labels = self.regions(self, grouping)
        seen = None
        if self.decode_head.rescoring is not None:
            seen = self.decode_head.rescoring.embed(
                self.as_rgb(inputs), labels, groups.shape[1]
            )
        return GroupFeatures(image.float(), groups.float(), labels, seen)

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in."""
        return self.img_encoder.pos_embed.dtype

    def compute_in(self, dtype: torch.dtype) -> 'GroupViTSegmentor':
        """Run the image side in another precision; return the model itself.

        Names are few and read once: the text side stays in float32, and so
        do assignments and scores.

        Args:
            dtype: ``torch.bfloat16``, or another floating one.
        """
        self.img_encoder.to(dtype)
        self.img_projector.to(dtype)
        return self

    def inference(self, inputs: Tensor, batch_img_metas: list) -> Tensor:
        """Score images in the mode of ``test_cfg``: (B, K, H, W)."""
        if self.test_cfg.mode != 'merge':
            return super().inference(inputs, batch_img_metas)
        windows = windows_of(inputs.shape[2:], self.test_cfg)
        threshold = self.test_cfg.get('threshold', 0.9)
        return merged_scores(self, inputs, windows, threshold)

    def _segment_in_chunks(self, inputs: Tensor, samples) -> None:
        """Compare names by groups: no map of scores is made at all."""
        windows = windows_of(inputs.shape[2:], self.test_cfg)
        crops = [self.extract_feat(inputs[window]) for window in windows]
        for image, sample in enumerate(samples):
            own = [crop.of(image) for crop in crops]
            if self.test_cfg.mode == 'merge':
                own = merge_crops(own, self.test_cfg.get('threshold', 0.9))
            codes, scores = combine(
                [crop.labels[0] for crop in own],
                [self.decode_head.group_scores(crop)[0] for crop in own],
                windows,
                tuple(inputs.shape[2:]),
            )
            codes = self.without_padding(codes[None], sample.metainfo)[0]
            label = best_names(codes, scores, sample.ori_shape[:2])
            sample.pred_sem_seg = PixelData(data=label[None])

    def upsample(self, scores: Tensor, inputs: Tensor) -> Tensor:
        """Return scores, which have the size of ``inputs`` already."""
        return scores

    def pixel_embeddings(self, inputs: Tensor) -> Tensor:
        """Embed every other pixel in the text space.

        A pixel has the embedding of its group.

        Args:
            inputs: Normalised images (B, 3, H, W).

        Returns:
            Unit embeddings (B, D, h, w); h is H / 2 rounded up.
        """
        features = self.extract_feat(inputs)
        unit = F.normalize(features.groups, dim=-1)
        return paint(unit, features.labels[:, ::2, ::2])

    def check_export(self) -> None:
        """Read the names, so that no export does; or say what hinders it.

        Raises:
            ValueError: Groups are merged image by image, or a second CLIP is
                asked.
        """
        for part in ('regions', 'rescoring'):
            owner = self if part == 'regions' else self.decode_head
            if getattr(owner, part) is not None:
                raise ValueError(
                    f'{part}= is not exported: build the model without it'
                )
        for vocabulary in (
            self.decode_head.vocabulary,
            self.decode_head.words,
        ):
            if vocabulary is not None:
                vocabulary.embeddings  # noqa: B018

    def loss(self, inputs, data_samples):
        """Refuse: masks are not what GroupViT learns from.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            'GroupViT learns from captions: train mmclip.GroupViTPretrainer '
            'and load its checkpoint here'
        )
