"""Sketch photographs: image in, plain dict out."""

import itertools
import os
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from mmengine.config import Config
from PIL import Image

from mmclip.inference.image import load_image

_NUMBER = itertools.count()  # mmengine tells runs by their names


def sketch(image, strokes: int = 16, **options) -> dict | list[dict]:
    """Sketch an image with a few strokes.

    Example::

        from mmclip import sketch
        found = sketch('cat.jpg', strokes=8, out='sketches')
        print(found['network'], found['loss'])

    Args:
        image: Path, uint8 RGB array (H, W[, 3 or 4]) or PIL image; a list of
            these, or a folder, gives a list.
        strokes: How many.
        **options: As of :class:`Sketcher` and of its call.

    Returns:
        For each image ``name``; ``svg``: the sketch as text; ``picture``:
        uint8 RGB (H, W, 3); ``points`` (N, S, 4, 2), ``width`` (N,) and
        ``rgba`` (N, 4) arrays; ``loss``, ``losses`` of all seeds, ``seed``,
        ``iteration``; ``network``: which network looked; ``files``: what was
        written, if ``out`` is given.
    """
    call = {k: options.pop(k) for k in CALL if k in options}
    return Sketcher(strokes=strokes, **options)(image, **call)


CALL = ('out', 'masks', 'class_names', 'resume', 'progress', 'watch')


class Sketcher:
    """Make sketches with one network.

    Args:
        strokes: How many strokes a sketch has.
        clip: ``None`` takes what is at hand (see
            :func:`mmclip.clipasso.recipes.choose_network`); a name of
            open_clip's, ``'shapes-clip'`` (drawn shapes only) or
            ``'efficientnet-lite0'``.
        pretrained: Its weights: tag or file.
        config: A config by path or name, instead of ``clip``.
        seeds: Starts tried for each image; the best is kept.
        iters: Steps; as in the config by default.
        batch_size: Images at once.
        foreground: Settings of
            :class:`mmclip.clipasso.foreground.ForegroundModel`, whose mask
            removes the background.
        formats: As of :class:`mmclip.clipasso.hooks.SketchExportHook`.
        size: Longer side of pictures in pixels.
        cfg_options: Further changes to the config, by dotted key.
    """

    def __init__(
        self,
        strokes: int = 16,
        *,
        clip: str | None = None,
        pretrained: str | None = None,
        config: str | None = None,
        seeds: int | None = None,
        iters: int | None = None,
        batch_size: int = 1,
        foreground: dict | None = None,
        formats: Sequence[str] = ('svg', 'png', 'animated_svg'),
        size: int = 512,
        cfg_options: dict | None = None,
    ) -> None:
        from mmclip.clipasso.recipes import choose_network
        from mmclip.jobs import find_config

        if config is not None and (clip or pretrained):
            raise ValueError('config and clip exclude each other')
        model = {}
        if config is None:
            config, model = choose_network(clip, pretrained)
        cfg = Config.fromfile(find_config(config))
        cfg.merge_from_dict(dict(model=model))
        cfg.model.num_strokes = strokes
        if seeds is not None:
            cfg.model.num_seeds = seeds
        if iters is not None:
            cfg.train_cfg.num_iters = iters
        cfg.train_dataloader.batch_size = batch_size
        cfg.merge_from_dict(cfg_options or {})
        self.fit_canvas(cfg, foreground)
        self.cfg, self.formats, self.size = cfg, tuple(formats), size

    @staticmethod
    def fit_canvas(cfg: Config, foreground: dict | None) -> None:
        """Draw as large as the network looks; mask by a model if asked."""
        from mmclip.jobs import find_config

        for step in cfg.train_dataloader.dataset.pipeline:
            kind = step['type'].split('.')[-1]
            if kind == 'ResizeToCanvas' and cfg.model.get('augment'):
                step['size'] = cfg.model.augment.get('size', 224)
            if kind == 'ApplyForegroundMask' and foreground:
                found = find_config(foreground['config'])
                model = dict(foreground, config=found)
                step.update(source='model', model=model)

    def __call__(
        self,
        image,
        *,
        out: str | Path | None = None,
        masks=None,
        class_names=None,
        resume: bool = False,
        progress: bool = False,
        watch=None,
    ) -> dict | list[dict]:
        """Sketch; see :func:`sketch`.

        Args:
            image: As there.
            out: Folder for the files; ``None`` writes none.
            masks: As of
                :class:`mmclip.clipasso.dataset.SketchImageDataset`.
            class_names: Likewise.
            resume: Whether to go on from an interrupted run in ``out``.
            progress: Whether a bar is shown.
            watch: Sees the best so far, and may end the run, see
                :class:`mmclip.clipasso.hooks.SketchWatchHook`.

        Raises:
            ValueError: An image cannot be read or holds nothing to sketch.
            FileNotFoundError: It is not there, or no network is.
        """
        from mmclip.clipasso.dataset import find_images
        from mmclip.clipasso.preprocess import read_picture

        many = isinstance(image, (list, tuple)) or is_folder(image)
        images = image if isinstance(image, (list, tuple)) else [image]
        if out is None and resume:
            raise ValueError('resume needs out, the folder of the first run')
        folder = tempfile.TemporaryDirectory() if out is None else None
        with folder or nullcontext(out) as place:
            place = Path(place).absolute()
            files = [
                as_file(each, place / '.run' / f'image{k}.png')
                for k, each in enumerate(images)
            ]
            for file in find_images(files):
                read_picture(file)  # a bad one is named before any work
            data = dict(
                images=files, masks=as_text(masks), class_names=class_names
            )
            records = self.run(place, data, resume, progress, watch)
            found = [self.plain(r, place, out is not None) for r in records]
        return found if many else found[0]

    def run(
        self, out: Path, data: dict, resume: bool, progress: bool, watch=None
    ) -> list:
        """Run the loop; return its records in the order of the images."""
        from mmengine.runner import Runner

        from mmclip.clipasso.hooks import SketchWatchHook

        cfg = Config(self.cfg.to_dict())
        cfg.train_dataloader.dataset.update(data)
        cfg.work_dir = str(out / '.run')
        cfg.experiment_name = f'sketch-{os.getpid()}-{next(_NUMBER)}'
        cfg.log_level, cfg.resume = 'ERROR', resume
        cfg.default_hooks.logger = None
        cfg.custom_hooks = self.hooks(out, progress)
        runner = Runner.from_cfg(cfg)
        if watch is not None:
            runner.register_hook(SketchWatchHook(watch))
        runner.train()
        dataset = runner.train_dataloader.dataset
        paths = [
            info['img_path']
            for info in map(dataset.get_data_info, range(len(dataset)))
        ]
        album = runner.model.album  # lacks what a watcher did not wait for
        return [album[path] for path in paths if path in album]

    def hooks(self, out: Path, progress: bool) -> list[dict]:
        """Return the hooks of a run."""
        hooks = [
            dict(type='mmclip.RNGStateHook'),
            dict(type='mmclip.SketchStateHook'),
            dict(
                type='mmclip.SketchExportHook',
                out_dir=str(out),
                formats=self.formats,
                size=self.size,
                preview_interval=5,
            ),
        ]
        if progress:
            hooks.append(dict(type='mmclip.SketchProgressBarHook'))
        return hooks

    def plain(self, record, out: Path, kept: bool) -> dict:
        """Turn a record into a dict of plain values."""
        from mmclip.clipasso.export import draw_picture
        from mmclip.clipasso.svg import svg_text

        drawing = record.drawing
        found = dict(
            svg=svg_text(drawing),
            picture=draw_picture(drawing, self.size),
            points=drawing.points.numpy(),
            width=drawing.width.numpy(),
            rgba=drawing.rgba.numpy(),
            **record.summary(),
        )
        if kept:
            stem = record.name
            ends = ('.', '_animated.', '_beside.')
            found['files'] = sorted(
                str(f)
                for f in out.iterdir()
                if f.name.startswith(tuple(stem + end for end in ends))
            )
        return found


def is_folder(image) -> bool:
    """Tell a path that stands for several images."""
    if not isinstance(image, (str, Path)):
        return False
    return Path(image).is_dir() or '*' in str(image)


def as_text(paths):
    """Return paths as texts, which a config can hold."""
    if isinstance(paths, (list, tuple)):
        return [str(path) for path in paths]
    return paths and str(paths)


def as_file(image, path: Path) -> str:
    """Return the path of an image; others are written to ``path``.

    Raises:
        ValueError: It is an array that is no image.
        TypeError: It is nothing that could be one.
    """
    if isinstance(image, (str, Path)):
        return str(image)
    picture = image
    if not isinstance(image, Image.Image):
        load_image(image)  # says what is wrong with it
        picture = Image.fromarray(np.ascontiguousarray(image).squeeze())
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return str(path)
