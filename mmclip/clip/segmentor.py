"""mmseg's encoder and decoder, for names that change from call to call.

B images, K names of the vocabulary, D embedding width, H x W pixels.

Convention: images are padded with black at the right and bottom to whole
multiples of ``size_divisor``, and scores are cut back before anything reads
them.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor

from mmclip.clip.dense_scores import DenseScores
from mmclip.clip.ground_truth import check_mask, pad_masks
from mmclip.clip.name_chunks import best_labels
from mmclip.clip.phrases import runs_of_text
from mmclip.clip.windows import join_windows, windows_of
from mmclip.registry import MODELS


@MODELS.register_module()
class OpenVocabEncoderDecoder(EncoderDecoder):
    """mmseg's ``EncoderDecoder`` with ``set_vocabulary`` and per-image text.

    A data sample with a field ``text`` (``'sky . dog'``, names, or ``{name:
    [phrases]}``) is trained on and answered in its own names; every answer
    has ``label_names``, which its ``pred_sem_seg`` indexes.

    The decode head must have ``vocabulary``, ``set_vocabulary``,
    ``speaking(text)``, ``embed(features)`` and ``chunks(prepared, size)``, as
    :class:`mmclip.lseg.LSegHead` has. What ``chunks`` is given is
    ``prepare(features)``, or ``embed(features)`` where the head has no
    ``prepare``.

    Args:
        size_divisor: What images are padded to; at least the patch, and for
            DPT twice the last stride.
        chunk: Names scored at once in testing. A vocabulary with more is
            scored in parts, which takes memory for ``chunk`` names only; the
            labels are the same, ``seg_logits`` are then not kept. None means
            all at once (see :func:`all_scores`).
        dense: Arguments of :class:`mmclip.clip.dense_scores.DenseScores`: a
            frozen CLIP whose scores are added in testing.
        kwargs: Further arguments of ``EncoderDecoder``.

    Raises:
        ValueError: The decode head has no vocabulary.
    """

    def __init__(
        self,
        *args,
        size_divisor: int = 32,
        chunk: int | None = 32,
        dense: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.size_divisor, self.chunk = size_divisor, chunk
        self.dense = dense and DenseScores(**dense)
        if self.test_cfg is None:
            from mmengine.config import ConfigDict

            self.test_cfg = ConfigDict(mode='whole')

    def _init_decode_head(self, decode_head: dict) -> None:
        self.decode_head = MODELS.build(decode_head)
        if not hasattr(self.decode_head, 'vocabulary'):
            raise ValueError(
                'OpenVocabEncoderDecoder needs a head with a vocabulary, got '
                f"{type(self.decode_head).__name__}: take 'mmclip.LSegHead', "
                "or 'mmseg.EncoderDecoder' for a closed set"
            )
        self.align_corners = self.decode_head.align_corners

    @property
    def num_classes(self) -> int:
        """How many names there are."""
        return len(self.decode_head.vocabulary)

    @property
    def out_channels(self) -> int:
        """How many scores a pixel has."""
        return len(self.decode_head.vocabulary)

    def set_vocabulary(self, vocabulary, names=None) -> None:
        """Segment into other names from now on.

        Args:
            vocabulary: Names, ``{name: [phrases]}``, or embeddings (K, D);
                see :meth:`mmclip.clip.Vocabulary.set`.
            names: The names of embeddings.
        """
        self.decode_head.set_vocabulary(vocabulary, names)

    def compute_in(self, dtype: torch.dtype) -> 'OpenVocabEncoderDecoder':
        """Run the network in another precision; return the model itself.

        Images and text embeddings stay in float32 until they meet it.

        Args:
            dtype: ``torch.bfloat16``, or another floating one.
        """
        for name, child in self.named_children():
            if name not in ('data_preprocessor', 'dense'):
                child.to(dtype)
        vocabulary = self.decode_head.vocabulary
        vocabulary.embeddings = vocabulary.embeddings.float()
        return self

    def extract_feat(self, inputs: Tensor):
        """Return the neck's features of padded images (B, 3, H, W)."""
        return super().extract_feat(inputs.to(self.dtype))

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in."""
        return next(self.backbone.parameters()).dtype

    # ---- sizes ----

    @property
    def black(self) -> Tensor | None:
        """What the preprocessor makes of black, (3, 1, 1); None: 0."""
        mean = getattr(self.data_preprocessor, 'mean', None)
        return None if mean is None else -mean / self.data_preprocessor.std

    def pad(self, inputs: Tensor) -> Tensor:
        """Pad images (B, 3, H, W) to multiples of ``size_divisor``."""
        down = -inputs.shape[2] % self.size_divisor
        right = -inputs.shape[3] % self.size_divisor
        if not down and not right:
            return inputs
        padded = F.pad(inputs, (0, right, 0, down))
        black = self.black
        if black is not None and len(black) == inputs.shape[1]:
            padded[:, :, inputs.shape[2] :] = black.to(inputs)
            padded[:, :, :, inputs.shape[3] :] = black.to(inputs)
        return padded

    def upsample(self, scores: Tensor, inputs: Tensor) -> Tensor:
        """Bring the head's scores of ``pad(inputs)`` to (B, some, H, W)."""
        high, wide = inputs.shape[2:]
        size = [side + -side % self.size_divisor for side in (high, wide)]
        scores = resize(
            scores,
            size=size,
            mode='bilinear',
            align_corners=self.align_corners,
            warning=False,
        )
        return scores[:, :, :high, :wide]

    def pixel_embeddings(self, inputs: Tensor) -> Tensor:
        """Embed pixels in the text space, at the head's resolution.

        Args:
            inputs: Normalised images (B, 3, H, W).

        Returns:
            Unit embeddings (B, D, h, w); at stride s, h is H / s rounded up.
        """
        padded = self.pad(inputs)
        pixels = self.decode_head.embed(self.extract_feat(padded))
        stride = padded.shape[2] // pixels.shape[2]
        high, wide = (-(-side // stride) for side in inputs.shape[2:])
        return F.normalize(pixels[:, :, :high, :wide], dim=1)

    # ---- mmseg's three modes ----

    def _forward(self, inputs: Tensor, data_samples=None) -> Tensor:
        """Return scores (B, K, H, W)."""
        padded = self.pad(inputs)
        scores = self.decode_head(self.extract_feat(padded))
        if self.dense is not None and not self.training:
            (scores,) = self._fuse(lambda: iter([scores]), scores, padded)
        return self.upsample(scores, inputs)

    def _fuse(self, chunks, like: Tensor, padded: Tensor) -> Iterator[Tensor]:
        """Add CLIP's dense scores, at the resolution of ``like``."""
        dense = self.dense.embed(self.as_rgb(padded), like.shape[2:])
        head = self.decode_head
        return self.dense.fuse(
            chunks,
            dense,
            head.vocabulary.embeddings,
            getattr(head, 'background_row', None),
        )

    def as_rgb(self, inputs: Tensor) -> Tensor:
        """Undo the preprocessor's normalisation: images in [0, 1]."""
        preprocessor = self.data_preprocessor
        if getattr(preprocessor, 'mean', None) is not None:
            inputs = inputs * preprocessor.std + preprocessor.mean
        return inputs / 255

    def loss(self, inputs: Tensor, data_samples: Sequence) -> dict:
        """Compute the losses.

        Images that bring their own ``text`` are scored against it alone, and
        their labels index it.

        Raises:
            ValueError: A mask has another size than its image, or a label
                no name.
        """
        for sample in data_samples:
            check_mask(sample, inputs.shape[2:])
        padded = self.pad(inputs)
        pad_masks(data_samples, padded.shape[2:], self.ignore_index)
        features = self.extract_feat(padded)
        runs = runs_of_text(data_samples)
        if len(runs) == 1:
            with self.decode_head.speaking(runs[0][0]):
                losses = self._decode_head_forward_train(
                    features, data_samples
                )
        else:
            scores = self._scores_by_text(features, runs)
            own = self.decode_head.loss_by_feat(scores, data_samples)
            if hasattr(self.decode_head, 'caption_losses'):
                own.update(
                    self.decode_head.caption_losses(features, data_samples)
                )
            losses = {f'decode.{key}': value for key, value in own.items()}
        if self.with_auxiliary_head:
            losses.update(
                self._auxiliary_head_forward_train(features, data_samples)
            )
        return losses

    @property
    def ignore_index(self) -> int:
        """The label that counts for nothing."""
        return self.decode_head.ignore_index

    def _scores_by_text(self, features, runs) -> Tensor:
        """Score each run against its own text; (B, most names, h, w)."""
        found = []
        for text, run in runs:
            with self.decode_head.speaking(text):
                part = take(features, run)
                found.append(self.decode_head(part))
        most = max(scores.shape[1] for scores in found)
        # No softmax sees these, and resizing cannot make them NaN.
        filled = [
            F.pad(s, (0, 0, 0, 0, 0, most - s.shape[1]), value=-1e4)
            for s in found
        ]
        return torch.cat(filled)

    def predict(self, inputs: Tensor, data_samples=None) -> list:
        """Segment; each result also has ``label_names``.

        Consecutive images with the same text share one pass.
        """
        if data_samples is None:
            size = tuple(inputs.shape[2:])
            meta = dict(ori_shape=size, img_shape=size, pad_shape=size)
            data_samples = [SegDataSample(metainfo=meta) for _ in inputs]
        for text, run in runs_of_text(data_samples):
            part = slice(run.start, run.stop)
            with self.decode_head.speaking(text):
                self._segment(inputs[part], data_samples[part])
        return data_samples

    def _segment(self, inputs: Tensor, samples: Sequence) -> None:
        """Write ``pred_sem_seg`` and ``label_names`` into the samples."""
        names = list(self.decode_head.vocabulary.names)
        if len(names) == 1 and not self.training:
            warnings.warn(
                f"there is one name, '{names[0]}', so every pixel gets it: "
                "add what else there may be, such as 'other', or a "
                'background to the head',
                stacklevel=2,
            )
        if self.chunk is not None and len(names) > self.chunk:
            self._segment_in_chunks(inputs, samples)
        else:
            metas = [sample.metainfo for sample in samples]
            scores = self.inference(inputs, metas)  # (B, K, H, W)
            self.postprocess_result(scores, samples)
        for sample in samples:
            sample.set_metainfo(dict(label_names=names))

    def encode_decode(self, inputs: Tensor, batch_img_metas=None) -> Tensor:
        """Return scores (B, K, H, W) of images of any size."""
        return self._forward(inputs)

    def postprocess_result(self, seg_logits: Tensor, data_samples) -> list:
        """Keep scores and labels at each image's original size."""
        for scores, sample in zip(seg_logits, data_samples):
            scores = self.to_original(scores, sample.metainfo)
            label = scores.argmax(dim=0, keepdim=True)
            sample.seg_logits = PixelData(data=scores)
            sample.pred_sem_seg = PixelData(data=label)
        return data_samples

    def to_original(self, scores: Tensor, meta: dict) -> Tensor:
        """Undo padding, flip and resizing of scores (some, H, W)."""
        scores = self.without_padding(scores, meta)
        size = tuple(meta['ori_shape'][:2])
        if size == tuple(scores.shape[1:]):
            return scores
        return resize(
            scores[None],
            size=size,
            mode='bilinear',
            align_corners=self.align_corners,
            warning=False,
        )[0]

    def without_padding(self, scores: Tensor, meta: dict) -> Tensor:
        """Undo padding and flip of maps (some, H, W)."""
        left, right, top, bottom = meta.get(
            'img_padding_size', meta.get('padding_size', [0] * 4)
        )
        high, wide = scores.shape[1:]
        scores = scores[:, top : high - bottom, left : wide - right]
        if meta.get('flip'):
            horizontal = meta.get('flip_direction') == 'horizontal'
            scores = scores.flip(dims=(2 if horizontal else 1,))
        return scores

    # ---- many names ----

    def _segment_in_chunks(self, inputs: Tensor, samples: Sequence) -> None:
        metas = [sample.metainfo for sample in samples]
        labels = best_labels(self._chunks(inputs), metas, self.to_original)
        for sample, label in zip(samples, labels):
            sample.pred_sem_seg = PixelData(data=label[None])

    def _chunks(self, inputs: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield (first name, its chunk's scores (B, some, H, W)).

        The encoder sees each window once. What is kept of it meanwhile does
        not grow with the number of names.
        """
        windows = windows_of(inputs.shape[2:], self.test_cfg)
        parts = zip(*(self._chunks_of(inputs[w]) for w in windows))
        start = 0
        for part in parts:
            scores = join_windows(part, windows, inputs, self.upsample)
            yield start, scores
            start += scores.shape[1]

    def _chunks_of(self, window: Tensor) -> Iterator[Tensor]:
        """Return the head's chunks for one window."""
        padded = self.pad(window)
        head = self.decode_head
        prepare = getattr(head, 'prepare', head.embed)
        features = self.extract_feat(padded)
        prepared = prepare(features)

        def chunks():
            return head.chunks(prepared, self.chunk)

        if self.dense is None:
            return chunks()
        return self._fuse(chunks, features, padded)


def take(features, run: range):
    """Cut images out of a map, or out of maps and class tokens, nested."""
    if isinstance(features, Tensor):
        return features[run.start : run.stop]
    return type(features)(take(each, run) for each in features)


@contextmanager
def all_scores(model: OpenVocabEncoderDecoder):
    """Keep ``seg_logits`` of any number of names within the block."""
    kept, model.chunk = model.chunk, None
    try:
        yield
    finally:
        model.chunk = kept
