"""The paper's figure as a model: strokes in, losses out.

B images, M = B * seeds sketches (the seeds of an image in a row), N strokes,
K views, H x W pixels of the canvas.
"""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmclip.clip.image import CLIPImageEncoder
from mmclip.clipasso.augmentation import Views
from mmclip.clipasso.features import (
    CLIPFeatures,
    build_extractor,
    each_view,
    fingerprint,
    network_name,
)
from mmclip.clipasso.scene import Scene
from mmclip.clipasso.strokes import StrokeParameters, Strokes
from mmclip.clipasso.svg import Drawing
from mmclip.clipasso.targets import Targets
from mmclip.registry import MODELS, TASK_UTILS

SEED_STEP = 1000  # as the release numbers its seeds: 0, 1000, 2000
FROZEN = ('extractor.', 'saliency.')  # modules that no checkpoint holds


class DivergedError(RuntimeError):
    """Raised when a loss is not finite; the strokes were left as they were."""


@MODELS.register_module()
class CLIPassoSketcher(BaseModel):
    """Sketch images by moving strokes until CLIP sees the same in both.

    :class:`mmclip.clipasso.loop.SketchTrainLoop` runs it. Checkpoints hold
    the strokes and what losses learn, never the frozen CLIP.

    Source: CLIPasso, fig. 5 and sec. 4; the defaults are its release's.

    Args:
        clip: The network that looks: settings of
            :class:`mmclip.clipasso.features.CLIPFeatureExtractor` (its layers
            follow from the losses), or a ``dict(type=...)`` of another one.
        losses: Configs of :class:`mmclip.clipasso.scene.SketchLoss`; the
            geometric and the semantic one by default.
        rasterizer: Config; the analytic one by default.
        augment: Config of the views beside the plain one; ``None`` for none.
        stroke_init: Config of where strokes start; by saliency by default.
        saliency_clip: Settings of the
            :class:`mmclip.clip.image.CLIPImageEncoder` whose saliency is
            asked for; ``None`` asks the network of ``clip``.
        num_strokes: N.
        num_seeds: Starts tried for each image.
        seed: The first one's number; the next ones are 1000 apart.
        num_segments: Cubic segments of a stroke.
        width: HALF of a line's width in pixels, as in diffvg.
        optimise: Some of ``'points'``, ``'width'``, ``'color'`` and
            ``'opacity'``.
        data_preprocessor: As for any model; images are expected as RGB in
            [0, 1], which ``mmengine.ImgDataPreprocessor`` does by default.

    Attributes:
        images (Tensor): The targets at work (B, 3, H, W) in [0, 1].
        targets (Targets): What is seen in them.
        masks (Tensor): Their foreground (B, H, W), or ``None``.
        start_maps (list): Where strokes may start, (H, W) each or ``None``.
        album (dict): Finished sketches by the path of their image.
    """

    def __init__(
        self,
        clip: dict,
        losses: Sequence[dict] | None = None,
        rasterizer: dict | None = None,
        augment: dict | None = None,
        stroke_init: dict | None = None,
        saliency_clip: dict | None = None,
        *,
        num_strokes: int = 16,
        num_seeds: int = 3,
        seed: int = 0,
        num_segments: int = 1,
        width: float = 1.5,
        optimise: Sequence[str] = ('points',),
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            data_preprocessor
            or dict(
                type='mmengine.ImgDataPreprocessor',
                mean=[0.0] * 3,
                std=[255.0] * 3,
            ),
            init_cfg,
        )
        if int(num_seeds) != num_seeds or num_seeds < 1:
            raise ValueError(
                f'num_seeds is {num_seeds}, expected a whole number from 1'
            )
        self.losses = nn.ModuleList(
            MODELS.build(loss)
            for loss in losses
            or (
                dict(type='mmclip.CLIPGeometricLoss'),
                dict(type='mmclip.CLIPSemanticLoss'),
            )
        )
        self.extractor = build_extractor(clip, self.losses)
        self.saliency, self.saliency_name = None, self.extractor.name
        if saliency_clip is not None:
            self.saliency = CLIPImageEncoder(**saliency_clip)
            self.saliency_name = network_name(
                saliency_clip.get('model', 'shapes-clip'),
                saliency_clip.get('pretrained'),
                saliency_clip.get('init_cfg'),
            )
        self.rasterizer = MODELS.build(
            rasterizer or dict(type='mmclip.AnalyticRasterizer')
        )
        self.augment = MODELS.build(augment) if augment else None
        self.stroke_init = TASK_UTILS.build(
            {
                'type': 'mmclip.SaliencyStrokeInit',
                'num_segments': num_segments,
                **(stroke_init or {}),
            }
        )
        self.strokes = StrokeParameters(
            num_strokes, num_segments, width, optimise, capacity=num_seeds
        )
        for loss in self.losses:
            loss.reserve(num_seeds, num_strokes)
        self.num_strokes, self.num_seeds, self.seed = (
            num_strokes,
            num_seeds,
            seed,
        )
        self.width = width
        self.images = self.masks = self.targets = self.fingerprint = None
        self.samples, self.start_maps, self.album = [], [], {}
        self.register_load_state_dict_post_hook(forget_frozen)

    def reserve(self, num_images: int) -> None:
        """Make room for so many images at once, before an optimiser is built.

        Sketches so far are lost.
        """
        capacity = num_images * self.num_seeds
        self.strokes.reserve(capacity)
        for loss in self.losses:
            loss.reserve(capacity, self.num_strokes)

    @property
    def seeds(self) -> list[int]:
        """Return the numbers of the seeds."""
        return [self.seed + SEED_STEP * k for k in range(self.num_seeds)]

    @property
    def owner(self) -> Tensor:
        """Return which image each sketch is of (M,)."""
        images = torch.arange(len(self.images), device=self.images.device)
        return images.repeat_interleave(self.num_seeds)

    @property
    def size(self) -> tuple[int, int]:
        """Return (H, W) of the canvas."""
        return tuple(self.images.shape[2:])

    def begin(self, data: dict, fresh: bool = True) -> None:
        """Turn to new images.

        Args:
            data: A batch of the dataloader.
            fresh: Whether strokes start anew; otherwise those that a
                checkpoint brought go on.
        """
        data = self.data_preprocessor(data, False)
        self.images, self.samples = data['inputs'], data['data_samples']
        masks = [sample.get('mask') for sample in self.samples]
        self.masks = None
        if all(mask is not None for mask in masks):
            self.masks = torch.stack(masks).to(self.images)
        self.strokes.count = len(self.images) * self.num_seeds
        if self.fingerprint is None:  # norms are folded at the first look
            self.fingerprint = fingerprint(self.extractor.encoder)
        self.targets = Targets(self.images, self.extractor, self.augment)
        for loss in self.losses:
            loss.begin(self)
        self.start_maps = self.find_starts()
        for loss in self.losses:
            self.start_maps = loss.weigh_starts(self.start_maps)
        if fresh:
            self.start_strokes()
        for loss in self.losses if fresh else ():
            loss.start(self)

    def find_starts(self) -> list:
        """Return where strokes may start, (H, W) of each image."""
        encoder = self.saliency or self.extractor.encoder
        return [
            self.stroke_init.probabilities(encoder, image)
            for image in self.images
        ]

    def start_strokes(self) -> None:
        """Set every seed of every image to its first strokes."""
        placed = [
            self.stroke_init.place(share, self.num_strokes, seed)
            for share in self.start_maps
            for seed in self.seeds
        ]
        drawings = [self.as_drawing(each) for each in placed]
        frozen = getattr(self.stroke_init, 'frozen', None)
        if frozen is not None:
            frozen = frozen.expand(len(drawings), -1)
        self.strokes.start(drawings, frozen)

    def as_drawing(self, placed: Tensor | Drawing) -> Drawing:
        """Draw bare control points black and ``width`` wide."""
        if isinstance(placed, Drawing):
            return placed
        strokes = len(placed)
        black = torch.tensor([0.0, 0.0, 0.0, 1.0])
        return Drawing(
            placed,
            torch.full((strokes,), float(self.width)),
            black.expand(strokes, 4),
            self.size,
        )

    def draw(self, strokes: Strokes) -> Tensor:
        """Draw strokes on white, (M, 3, H, W)."""
        white = torch.ones(3, device=strokes.points.device)
        image = self.rasterizer(*strokes, size=self.size, background=white)
        return image[:, :3]

    def look(
        self,
        strokes: Strokes,
        views: Views | None = None,
        target: CLIPFeatures | None = None,
        owner: Tensor | None = None,
    ) -> Scene:
        """Draw strokes and see them beside the targets.

        Args:
            strokes: Of the M sketches.
            views: How to look; ``None`` takes the plain view alone.
            target: What the targets look like, where that is known.
            owner: Which image each sketch is of, (M,); as at work by default.
        """
        owner = self.owner if owner is None else owner
        sketch = self.draw(strokes)
        targets = self.targets
        shown = targets.show(sketch, views)
        target = targets.features(views) if target is None else target

        def draw_again(other: Strokes, plain: bool = False) -> Scene:
            if plain:
                return self.look(other, owner=owner)
            return self.look(other, views, target, owner)

        return Scene(
            strokes=strokes,
            sketch=sketch,
            images=self.images,
            owner=owner,
            masks=self.masks,
            views=views,
            plain=views is None or self.augment.plain,
            sketch_features=self.extractor(shown),
            target_features=target.rows(
                each_view(owner, len(self.images), len(shown))
            ),
            draw_again=draw_again,
            see=lambda pictures, kept=None: targets.see(pictures, views, kept),
            show=lambda pictures: targets.show(pictures, views),
        )

    def forward(
        self,
        inputs: Tensor | None = None,
        data_samples: list | None = None,
        mode: str = 'tensor',
    ):
        """Do what mmengine asks of a model.

        Args:
            inputs: Images in [0, 1] (B, 3, H, W); in the modes ``'loss'`` and
                ``'tensor'`` those at work count (see :meth:`begin`).
            data_samples: B of them.
            mode: ``'tensor'`` draws the sketches at work (M, 3, H, W);
                ``'loss'`` returns losses, each (M,); ``'predict'`` returns
                the samples with the finished ``pred_sketch`` of their image.

        Raises:
            RuntimeError: There are no images at work.
            KeyError: An image has not been sketched.
        """
        if mode == 'predict':
            return [self.recall(sample) for sample in data_samples]
        if self.images is None:
            raise RuntimeError('no images yet: call begin(data) first')
        if mode == 'tensor':
            return self.draw(self.strokes())
        if mode != 'loss':
            raise RuntimeError(f'mode is {mode!r}, not loss, tensor, predict')
        views = self.augment and self.augment.draw(*self.size)
        strokes = self.strokes()
        for loss in self.losses:
            strokes = loss.prepare(strokes)
        return self.measure(self.look(strokes, views))

    def measure(self, scene: Scene) -> dict[str, Tensor]:
        """Return all losses of a scene, (M,) each.

        ``evaluated`` keeps what the plain view says of the sketches, or
        ``None`` where there is none.
        """
        losses, plain = {}, []
        for loss in self.losses:
            for name, values in loss.measure(scene).items():
                losses[name] = scene.over_views(values)
                if loss.evaluated:
                    plain.append(scene.plain_view(values).detach())
        self.evaluated = sum(plain) if scene.plain else None
        return losses

    @torch.no_grad()
    def evaluate(
        self, strokes: Strokes | None = None, owner: Tensor | None = None
    ) -> Tensor:
        """Return the loss of the plain view alone (M,).

        Args:
            strokes: Others than those at work, of any number of sketches.
            owner: Which image each of them is of; as at work by default.
        """
        strokes = self.strokes() if strokes is None else strokes
        strokes = Strokes(*(v.to(self.images.device) for v in strokes))
        scene = self.look(strokes, owner=owner)
        return sum(
            values
            for loss in self.losses
            if loss.evaluated
            for values in loss.measure(scene).values()
        )

    @property
    def settled(self) -> bool:
        """Return whether all losses are, as of :class:`SketchLoss`."""
        return all(loss.settled for loss in self.losses)

    def train_step(self, data: dict, optim_wrapper) -> dict[str, Tensor]:
        """Move the strokes once; return mean losses for the log.

        Raises:
            DivergedError: The loss is not finite; no stroke was moved.
        """
        if self.images is None:
            self.begin(data)
        with optim_wrapper.optim_context(self):
            losses = self(self.images, self.samples, mode='loss')
        total = sum(values.sum() for values in losses.values())
        if not bool(torch.isfinite(total)):
            bad = [k for k, v in losses.items() if not v.isfinite().all()]
            raise DivergedError(
                f'{", ".join(bad)} is not a finite number: lower the '
                'learning rate (optim_wrapper.optimizer.lr), or look for '
                'damaged weights'
            )
        optim_wrapper.update_params(total)
        self.strokes.keep_in_range()
        for loss in self.losses:
            loss.after_step(self)
        return self.parse_losses(losses)[1]

    def recall(self, sample):
        """Return a sample with the finished sketch of its image."""
        kept = self.album.get(sample.img_path)
        if kept is None:
            raise KeyError(
                f"'{sample.img_path}' has no sketch in this checkpoint, which "
                f'holds {", ".join(map(repr, self.album)) or "none"}: sketch '
                'it first'
            )
        sample.pred_sketch = kept.drawing
        sample.set_metainfo(
            dict(
                sketch_network=kept.network,
                sketch_fingerprint=kept.fingerprint,
            )
        )
        return sample

    def state_dict(self, *args, **kwargs):
        """Return what a run learns; the frozen networks are left out."""
        state = super().state_dict(*args, **kwargs)
        prefix = kwargs.get('prefix', '')
        for key in list(state):
            if key.removeprefix(prefix).startswith(FROZEN):
                del state[key]
        return state


def forget_frozen(module: nn.Module, keys) -> None:
    """Let a checkpoint lack the frozen networks."""
    keys.missing_keys[:] = [
        key for key in keys.missing_keys if not key.startswith(FROZEN)
    ]
