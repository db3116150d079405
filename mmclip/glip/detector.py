"""GLIP as a detector of mmdet's: image and captions in, boxes out.

B images, P pairs of an image and one of its captions, L tokens, R rows of a
caption, N boxes.
"""

from collections.abc import Sequence

import torch
from mmdet.models.detectors import SingleStageDetector
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmclip.glip.grounding import Grounding
from mmclip.glip.head import suppressed
from mmclip.glip.reading import ReadsText
from mmclip.glip.token_maps import positive_map, token_map
from mmclip.registry import MODELS


@MODELS.register_module()
class GLIPDetector(ReadsText, SingleStageDetector):
    """Detect what captions name (GLIP, Li et al., CVPR 2022).

    A data sample says what to look for: ``text`` is a list of names of any
    length, ``{label: [prompts]}``, or a caption, whose phrases
    ``tokens_positive`` marks (or our splitter finds). Each image of a batch
    may say something else. Long lists become several captions, which are
    rows of one batch over image features computed once.

    Args:
        backbone: Config of mmdet's backbone.
        neck: Config of the neck.
        bbox_head: Config of a :class:`mmclip.glip.head.GLIPHead`.
        language_model: Config of a language model.
        text_cache: Captions whose words are kept in eval mode.
        prompt_tokens: Rows of a learnt offset on the words, for prompt
            tuning (``mmclip.TuningMode``); 0 for none. Published: 1000.
        **kwargs: As for mmdet's SingleStageDetector. In ``test_cfg``,
            ``chunked_size`` is the most names of a caption, and
            ``rows_per_pass`` (8) how many pairs go through the head at once.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        bbox_head: dict,
        language_model: dict,
        *,
        text_cache: int = 256,
        prompt_tokens: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(backbone, neck, bbox_head, **kwargs)
        self.add_language(language_model, text_cache)
        self.tunable_linear = None
        if prompt_tokens:
            width = self.language_model.language_dim
            self.tunable_linear = nn.Parameter(
                torch.zeros(prompt_tokens, width)
            )

    def words(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Return the words of captions, moved by the learnt offset."""
        language = self.read(texts)
        if self.tunable_linear is None:
            return language
        moved = dict(language)
        offset = self.tunable_linear[: language['hidden'].shape[1]]
        moved['hidden'] = language['hidden'] + offset
        moved['embedded'] = moved['hidden'] * language['masks'][..., None]
        return moved

    # ---- training ----

    def loss(self, batch_inputs: Tensor, batch_data_samples: list) -> dict:
        """Compute the losses.

        Args:
            batch_inputs: (B, 3, H, W).
            batch_data_samples: With ``text`` and boxes with inclusive ends,
                whose labels count the names or phrases of the text;
                ``tokens_ignored`` may list spans of it that no region learns
                from.
        """
        return self.loss_levels(
            self.extract_feat(batch_inputs), batch_data_samples
        )

    def loss_levels(self, levels: Sequence[Tensor], samples: list) -> dict:
        """Compute the losses from the neck's levels (B, C, h, w)."""
        grounded = self.ground_training(samples)
        language = self.words([one.caption for one in grounded])
        self.mark_boxes(samples, grounded, language)
        fused = self.bbox_head.head.fuse(levels, language)
        counted = self.counted_words(samples, grounded, language)
        losses = self.bbox_head.loss_fused(*fused, counted, samples)
        return losses | self.other_losses(
            levels, language, fused, grounded, samples
        )

    def mark_boxes(
        self, samples: list, grounded: list[Grounding], language: dict
    ) -> None:
        """Give each image's boxes the tokens that name them (N, L)."""
        masks = language['masks']
        for sample, one in zip(samples, grounded):
            boxes = sample.gt_instances
            boxes.positive_maps = positive_map(
                one, self.tokenizer, boxes.labels, masks.shape[1]
            ).to(masks.device)

    def counted_words(
        self, samples: list, grounded: list[Grounding], language: dict
    ) -> Tensor:
        """Return which words the regions learn from, bool (B, L).

        Words of ``tokens_ignored`` are left out, unless a box is named by
        them.

        Raises:
            ValueError: The loss would count them all the same.
        """
        counted = language['masks'].bool().clone()
        for row, sample, one in zip(counted, samples, grounded):
            spans = sample.get('tokens_ignored', None)
            if not spans:
                continue
            if getattr(self.bbox_head.loss_cls, 'kind', '') == 'unmasked':
                raise ValueError(
                    "loss_cls has kind='unmasked', which counts every word, "
                    'but a data sample has tokens_ignored: choose sigmoid or '
                    "softmax, or unboxed='negative' in PackNegativeCaptions"
                )
            encoding = self.tokenizer.encode(one.caption)
            (ignored,) = token_map(encoding, [spans], len(row))
            named = sample.gt_instances.positive_maps.any(dim=0)
            row &= named | ~ignored.to(row.device)
        return counted

    def other_losses(
        self,
        levels: Sequence[Tensor],
        language: dict,
        fused: tuple,
        grounded: list[Grounding],
        samples: list,
    ) -> dict[str, Tensor]:
        """Compute what GLIPv2 adds; nothing here."""
        return {}

    # ---- inference ----

    def predict(
        self,
        batch_inputs: Tensor,
        batch_data_samples: list,
        rescale: bool = True,
    ) -> list:
        """Detect.

        Args:
            batch_inputs: (B, 3, H, W).
            batch_data_samples: With ``text``.
            rescale: Whether boxes are of the original image.

        Returns:
            The samples with ``pred_instances``: ``bboxes`` xyxy (N, 4),
            ``scores`` (N,), ``labels`` (N,), ``label_names`` (N names).
        """
        return self.predict_levels(
            self.extract_feat(batch_inputs), batch_data_samples, rescale
        )

    def predict_levels(
        self, levels: Sequence[Tensor], samples: list, rescale: bool = True
    ) -> list:
        """Detect from the neck's levels (B, C, h, w)."""
        batch = self.ground_test(samples)
        metas = [sample.metainfo for sample in samples]
        found = [[] for _ in metas]
        step = (self.test_cfg or {}).get('rows_per_pass', 8)
        for start in range(0, len(batch.pairs), step):
            pairs = batch.pairs[start : start + step]
            results = self.predict_pairs(
                levels, batch.texts, pairs, metas, rescale
            )
            for (image, _, _), one in zip(pairs, results):
                found[image].append(one)
        for sample, parts, names in zip(samples, found, batch.names):
            joined = self.join(parts)
            joined.label_names = [names[k] for k in joined.labels.tolist()]
            sample.pred_instances = joined
        return samples

    def predict_pairs(
        self,
        levels: Sequence[Tensor],
        texts: list[str],
        pairs: list[tuple[int, int, Grounding]],
        metas: list[dict],
        rescale: bool,
    ) -> list[InstanceData]:
        """Detect in P pairs of an image and a caption."""
        images = [image for image, _, _ in pairs]
        language = self.words([texts[k] for _, k, _ in pairs])
        if images != list(range(len(metas))):  # else they are as they stand
            rows = torch.tensor(images, device=levels[0].device)
            levels = [level[rows] for level in levels]
        return self.detect_fused(
            self.bbox_head.head.fuse(levels, language),
            [one for _, _, one in pairs],
            [metas[image] for image in images],
            rescale,
        )

    def detect_fused(
        self,
        fused: tuple,
        grounded: list[Grounding],
        metas: list[dict],
        rescale: bool,
    ) -> list[InstanceData]:
        """Detect from what the head's ``fuse`` returns."""
        device = fused[1].device
        return self.bbox_head.predict_fused(
            *fused,
            [one.token_map(self.tokenizer).to(device) for one in grounded],
            [one.labels for one in grounded],
            metas,
            rescale,
        )

    def join(self, parts: list[InstanceData]) -> InstanceData:
        """Join the results of an image's captions, best first.

        A label that was said in several captions goes through NMS again.
        """
        if len(parts) == 1:
            return parts[0]
        labels = [set(part.labels.tolist()) for part in parts]
        joined = InstanceData.cat(parts)
        if sum(map(len, labels)) > len(set().union(*labels)):
            pixel = joined.bboxes.new_tensor([0, 0, 1, 1])
            kept = suppressed(
                joined.bboxes - pixel,
                joined.scores,
                joined.labels,
                dict_with(self.bbox_head.test_cfg, max_per_img=-1),
            )
            joined = joined[kept]
        return joined[joined.scores.argsort(descending=True)]

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: list | None = None
    ) -> tuple:
        """Return the head's outputs of each image's first caption."""
        texts = ['object']
        if batch_data_samples is not None:
            batch = self.ground_test(batch_data_samples)
            first = {}
            for image, text, _ in batch.pairs:
                first.setdefault(image, batch.texts[text])
            texts = list(first.values())
        language = self.words(texts * (len(batch_inputs) // len(texts)))
        return self.bbox_head(self.extract_feat(batch_inputs), language)


def dict_with(config, **changes):
    """Return a copy of a config with changes."""
    return type(config)({**config, **changes})
