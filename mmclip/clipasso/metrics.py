"""How good sketches are, in the eyes of a CLIP and by their ink.

All metrics take what ``CLIPassoSketcher`` predicts: data samples with
``pred_sketch``, and ``mask`` and ``class_name`` where they are known.
"""

from collections.abc import Sequence
from functools import cached_property

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmengine.device import get_device
from mmengine.evaluator import BaseMetric
from torch import Tensor, nn

from mmclip.clip.image import CLIPImageEncoder
from mmclip.clip.weights import load_clip
from mmclip.clipasso.curves import lengths
from mmclip.clipasso.export import draw_picture, first_strokes
from mmclip.clipasso.features import build_extractor, fingerprint, network_name
from mmclip.clipasso.ordering import prefix_auc
from mmclip.clipasso.svg import Drawing
from mmclip.registry import METRICS, MODELS


class SketchMetric(BaseMetric):
    """Average figures over sketches; a base class."""

    default_prefix = 'sketch'

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Measure a batch of sketches.

        Args:
            data_batch: Its ``inputs`` are the targets, uint8 RGB (3, H, W).
            data_samples: What the sketcher predicted.
        """
        for image, sample in zip(data_batch['inputs'], data_samples):
            figures = self.measure(image, sample['pred_sketch'], sample)
            self.results.append(figures)

    def measure(self, image: Tensor, sketch: Drawing, sample: dict) -> dict:
        """Return the figures of one sketch; what is unknown is left out."""
        raise NotImplementedError

    def compute_metrics(self, results: list) -> dict:
        """Return the mean of each figure over the sketches that have it."""
        names = dict.fromkeys(name for figures in results for name in figures)
        return {
            name: float(np.mean([f[name] for f in results if name in f]))
            for name in names
        }


@METRICS.register_module()
class SketchInkStats(SketchMetric):
    """Count strokes and measure ink; no network is needed.

    Figures: ``strokes`` that leave a trace on the canvas; ``length``, their
    mean length in pixels; ``ink``, the share of the canvas that is dark; where
    the foreground is known, ``ink_outside``: the share of all ink farther
    than ``margin`` from it.

    Args:
        margin: Pixels.
    """

    def __init__(self, margin: int = 6, **kwargs) -> None:
        super().__init__(**kwargs)
        self.margin = margin

    def measure(self, image: Tensor, sketch: Drawing, sample: dict) -> dict:
        """Return the figures of one sketch."""
        ink = 1 - draw_picture(sketch).astype(np.float32).mean(2) / 255
        seen = visible(sketch)
        figures = dict(strokes=float(seen.sum()), ink=float(ink.mean()))
        if seen.any():
            each = lengths(sketch.points)[seen]
            figures['length'] = float(each.mean())
        mask = sample.get('mask')
        if mask is not None and ink.sum() > 0:
            reach = 2 * self.margin + 1
            disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
            near = cv2.dilate(
                np.uint8(torch.as_tensor(mask).cpu() > 0.5), disc
            )
            figures['ink_outside'] = float(ink[near == 0].sum() / ink.sum())
        return figures


def visible(sketch: Drawing) -> Tensor:
    """Return which strokes leave a trace on the canvas, bool (N,)."""
    marks = [
        1 - draw_picture(one).astype(np.float32).mean() / 255
        for k in range(len(sketch.points))
        for one in [
            Drawing(
                sketch.points[k : k + 1],
                sketch.width[k : k + 1],
                sketch.rgba[k : k + 1],
                sketch.size,
            )
        ]
    ]
    return torch.tensor(marks) > 0


class CLIPMetric(SketchMetric):
    """Look at sketches with a CLIP; a base class.

    Args:
        clip: Settings of :func:`mmclip.clip.weights.load_clip`, such as
            ``dict(model='ViT-B-32-quickgelu', pretrained='openai')``.
        template: A sentence with ``{}`` for the class.
    """

    def __init__(
        self, clip: dict, template: str = 'a sketch of a {}', **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.clip_settings, self.template = dict(clip), template
        self.name = network_name(
            clip['model'], clip.get('pretrained'), clip.get('init_cfg')
        )

    @cached_property
    def clip(self):
        """Return the model and its tokenizer, loaded when first asked for."""
        return load_clip(**self.clip_settings, device=get_device())

    @cached_property
    def encoder(self) -> CLIPImageEncoder:
        """Return the image side."""
        return CLIPImageEncoder(self.clip[0])

    @torch.no_grad()
    def embed_picture(self, picture: np.ndarray) -> Tensor:
        """Embed RGB (H, W, 3), (D,) of length 1."""
        model = self.clip[0]
        image = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255
        size = getattr(model.visual, 'image_size', None) or picture.shape[:2]
        size = (size, size) if isinstance(size, int) else tuple(size)
        image = F.interpolate(
            image, size, mode='bicubic', antialias=True
        ).clamp(0, 1)
        image = self.encoder.normalise(image.to(get_device()))
        return self.encoder.pooled(image)[0]

    @torch.no_grad()
    def embed_names(self, names: Sequence[str]) -> Tensor:
        """Embed the sentences of names, (K, D) of length 1."""
        model, tokenizer = self.clip
        texts = tokenizer([self.template.format(name) for name in names])
        return F.normalize(model.encode_text(texts.to(get_device())), dim=1)

    def embed_sketch(self, sketch: Drawing) -> Tensor:
        """Embed a sketch, drawn as large as CLIP looks."""
        size = getattr(self.clip[0].visual, 'image_size', None)
        size = size[0] if isinstance(size, (tuple, list)) else size
        return self.embed_picture(draw_picture(sketch, size))


@METRICS.register_module()
class SketchCLIPScore(CLIPMetric):
    """Measure how alike CLIP finds sketch and photograph, sketch and name.

    Figures: ``clip_image``, the cosine between both pictures, and where the
    class is known ``clip_text``, that between the sketch and the sentence.

    Args:
        clip: As in :class:`CLIPMetric`.
        template: Likewise.
    """

    def measure(self, image: Tensor, sketch: Drawing, sample: dict) -> dict:
        """Return the figures of one sketch."""
        drawn = self.embed_sketch(sketch)
        photo = self.embed_picture(image.cpu().permute(1, 2, 0).numpy())
        figures = dict(clip_image=float(drawn @ photo))
        if sample.get('class_name'):
            text = self.embed_names([sample['class_name']])[0]
            figures['clip_text'] = float(drawn @ text)
        return figures


@METRICS.register_module()
class SketchRecognition(CLIPMetric):
    """Let a CLIP that the sketch was not optimised for name it, zero-shot.

    Figures: ``recognised_top<k>``, the share of sketches whose class is among
    the k nearest names.

    Args:
        clip: As in :class:`CLIPMetric`.
        classes: Names to choose from; by default those of all the sketches.
        top_k: The k.
        template: As in :class:`CLIPMetric`.

    Raises:
        ValueError: The CLIP is the one that the sketch was optimised for, or
            a class is not known.
    """

    def __init__(
        self,
        clip: dict,
        classes: Sequence[str] | None = None,
        top_k: Sequence[int] = (1, 3),
        template: str = 'a sketch of a {}',
        **kwargs,
    ) -> None:
        super().__init__(clip, template, **kwargs)
        self.classes, self.top_k = classes, tuple(top_k)

    def measure(self, image: Tensor, sketch: Drawing, sample: dict) -> dict:
        """Return the embedding of a sketch and its class."""
        if sample.get('sketch_fingerprint') == fingerprint(self.encoder):
            raise ValueError(
                f'{self.name} is what the sketches were optimised for, so it '
                'would recognise its own work: let another CLIP judge, such '
                "as clip=dict(model='ViT-B-16-quickgelu', "
                "pretrained='openai')"
            )
        known = sample.get('class_name')
        if not known or self.classes and known not in self.classes:
            raise ValueError(
                f"the class of '{sample['img_path']}' is {known!r}, expected "
                f'one of {", ".join(self.classes or ["any name"])}: set '
                'dataset.class_names'
            )
        return dict(
            embedding=self.embed_sketch(sketch).cpu(), class_name=known
        )

    def compute_metrics(self, results: list) -> dict:
        """Return the shares of recognised sketches."""
        wanted = [figures['class_name'] for figures in results]
        names = list(self.classes or dict.fromkeys(wanted))
        seen = torch.stack([figures['embedding'] for figures in results])
        order = (seen @ self.embed_names(names).cpu().t()).argsort(
            dim=1, descending=True
        )  # (sketches, K)
        right = torch.tensor([names.index(name) for name in wanted])
        hit = order == right[:, None]
        return {
            f'recognised_top{k}': float(hit[:, :k].any(1).float().mean())
            for k in self.top_k
        }


@METRICS.register_module()
class PrefixAUC(SketchMetric):
    """Measure how soon a sketch is one, while it is drawn stroke by stroke.

    Figures: ``prefix_auc``, the mean over k = 1..N of
    (L(blank) - L(first k strokes)) / (L(blank) - L(all)); 1 for a sketch that
    its first stroke finishes. ``no_better_than_blank`` is the share of
    sketches whose loss is not below that of blank paper; these have no AUC.

    Args:
        clip: As in :class:`mmclip.clipasso.sketcher.CLIPassoSketcher`.
        losses: Likewise.
    """

    def __init__(self, clip: dict, losses: Sequence[dict], **kwargs) -> None:
        super().__init__(**kwargs)
        self.clip_settings = dict(clip)
        self.losses = [MODELS.build(loss) for loss in losses]

    @cached_property
    def extractor(self) -> nn.Module:
        """Return the network that looks, built when first asked for."""
        extractor = build_extractor(self.clip_settings, self.losses)
        extractor.init_weights()
        return extractor.to(get_device())

    @torch.no_grad()
    def prefix_losses(self, image: Tensor, sketch: Drawing) -> Tensor:
        """Return the losses of blank paper and of every prefix (1 + N,)."""
        device = get_device()
        target = self.extractor(image[None].to(device).float() / 255)
        drawn = [
            torch.from_numpy(draw_picture(first_strokes(sketch, count)))
            for count in range(len(sketch.points) + 1)
        ]
        drawn = torch.stack(drawn).permute(0, 3, 1, 2).to(device).float()
        seen = self.extractor(drawn / 255)
        target = target.rows([0] * len(drawn))
        parts = [loss(seen, target) for loss in self.losses]
        return sum(v for part in parts for v in part.values()).cpu()

    def measure(self, image: Tensor, sketch: Drawing, sample: dict) -> dict:
        """Return the figures of one sketch."""
        losses = self.prefix_losses(image, sketch)  # (1 + N,)
        if not losses[-1] < losses[0]:
            return dict(no_better_than_blank=1.0)
        return dict(prefix_auc=prefix_auc(losses), no_better_than_blank=0.0)
