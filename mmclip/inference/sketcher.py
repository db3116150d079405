"""Sketch photographs: image in, plain dict out."""

import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from mmengine.config import Config
from PIL import Image

from mmclip.inference.image import images_inside, load_image, refuse_address
from mmclip.inference.source import ONE, warn

_NUMBER = itertools.count()  # mmengine tells runs by their names


def sketch(image, strokes: int = 16, **options):
    """Sketch an image, or many, with a few strokes.

    Example::

        from mmclip import sketch
        found = sketch('cat.jpg', strokes=8, out='sketches')
        print(found['network'], found['loss'])

    Args:
        image: Path, bytes of a file, uint8 RGB array (H, W[, 3 or 4]) or PIL
            image; a list of these or a folder gives a list, any other
            iterator gives an iterator, which holds a batch at a time.
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


CALL = (
    *('out', 'masks', 'class_names', 'resume', 'progress'),
    *('recursive', 'on_broken', 'watch'),
)


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
            :class:`mmclip.clipasso.foreground.ForegroundModel` or of
            :class:`mmclip.clipasso.u2net.SalientForeground`, whose mask
            removes the background.
        of: What is sketched of a picture that keeps its background:
            ``'object'`` is what stands out from its border, a name such as
            ``'cat'`` the part of that which CLIP finds nearest to it.
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
        of: str | None = None,
        formats: Sequence[str] = ('svg', 'png', 'animated_svg'),
        size: int = 512,
        cfg_options: dict | None = None,
    ) -> None:
        from mmclip.clipasso.recipes import choose_network, losses_of_object
        from mmclip.jobs import find_config

        if of is not None and foreground is not None:
            raise ValueError('of and foreground exclude each other')
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
        if of is not None:
            cfg.model.losses = losses_of_object(cfg.model.losses, of)
        cfg.merge_from_dict(cfg_options or {})
        self.fit_canvas(cfg, foreground)
        self.cfg, self.formats, self.size = cfg, tuple(formats), size
        self.of = of

    @staticmethod
    def fit_canvas(cfg: Config, foreground: dict | None) -> None:
        """Draw as large as the network looks; mask by a model if asked."""
        from mmclip.jobs import find_config

        for step in cfg.train_dataloader.dataset.pipeline:
            kind = step['type'].split('.')[-1]
            if kind == 'ResizeToCanvas' and cfg.model.get('augment'):
                step['size'] = cfg.model.augment.get('size', 224)
            if kind == 'ApplyForegroundMask' and foreground:
                model = dict(foreground)
                if 'config' in model:
                    model['config'] = find_config(model['config'])
                step.update(source='model', model=model)

    def __call__(self, image, *, out: str | Path | None = None, **call):
        """Sketch; see :func:`sketch`.

        Args:
            image: As there.
            out: Folder for the files; ``None`` writes none.
            call: As of :meth:`records`.

        Raises:
            ValueError: An image cannot be read or holds nothing to sketch;
                of many it is left out where it cannot be read.
            FileNotFoundError: It is not there, or no network is.
        """
        if is_stream(image):
            if out is not None or call.get('masks') is not None:
                raise ValueError(
                    'an iterator of images is sketched without out= and '
                    'masks=, which belong to a list or a folder: name one'
                )
            return self.stream(image, **call)
        many = isinstance(image, (list, tuple)) or is_folder(image)
        images = image if isinstance(image, (list, tuple)) else [image]
        with folder_for(out, call.get('resume')) as place:
            records = self.records(images, place, many=many, **call)
            found = [self.plain(r, place, out is not None) for r in records]
        return found if many else found[0]

    def stream(self, images: Iterable, **call) -> Iterator[dict]:
        """Sketch images one batch after the other, as they are asked for."""
        images, size = iter(images), self.cfg.train_dataloader.batch_size
        while batch := list(itertools.islice(images, size)):
            yield from self(batch, **call)

    def records(
        self,
        images: Sequence,
        out: Path,
        *,
        many: bool = True,
        masks=None,
        class_names=None,
        resume: bool = False,
        progress: bool = False,
        recursive: bool = False,
        on_broken=None,
        watch=None,
    ) -> list:
        """Sketch into a folder; return what is known of each image, undrawn.

        Args:
            images: Paths, folders and images of other kinds.
            out: Folder for the files.
            many: Whether a file that cannot be read is left out.
            masks: As of
                :class:`mmclip.clipasso.dataset.SketchImageDataset`.
            class_names: Likewise.
            resume: Whether to go on from an interrupted run in ``out``.
            progress: Whether a bar is shown.
            recursive: Whether folders within a folder are looked through.
            on_broken: As of :class:`mmclip.inference.source.ImageSource`.
            watch: Sees the best so far, and may end the run, see
                :class:`mmclip.clipasso.hooks.SketchWatchHook`.

        Returns:
            A :class:`mmclip.clipasso.progress.SketchRecord` each.

        Raises:
            ValueError: None of the images can be read.
        """
        from mmclip.clipasso.dataset import SketchImageDataset

        if self.of is not None and masks is not None:
            raise ValueError('of and masks exclude each other')
        if self.of not in (None, 'object') and class_names is None:
            class_names = self.of
        out = Path(out).absolute()
        files = [
            file
            for k, each in enumerate(images)
            for file in as_files(
                each, out / '.run' / f'image{k}.png', recursive
            )
        ]
        listed = SketchImageDataset(files, as_text(masks), class_names)
        infos = [listed.get_data_info(k) for k in range(len(listed))]
        if not many:
            on_broken = raise_it
        elif on_broken is None:
            on_broken = warn
        readable = [info for info in infos if can_be_read(info, on_broken)]
        if not readable:
            raise ValueError(f'none of the {len(infos)} images can be read')
        data = dict(
            images=[info['img_path'] for info in readable],
            masks=masks and [info['mask_path'] for info in readable],
            class_names=class_names
            and [info['class_name'] for info in readable],
        )
        return self.run(out, data, resume, progress, watch)

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


def is_stream(image) -> bool:
    """Tell an iterator of images from one image, a folder and a list."""
    return isinstance(image, Iterable) and not isinstance(
        image, (str, list, tuple, *ONE)
    )


def folder_for(out, resume: bool | None):
    """Return a context of the folder to write into, a passing one for None.

    Raises:
        ValueError: A run is to go on, but no folder is named.
    """
    if out is not None:
        return nullcontext(Path(out))
    if resume:
        raise ValueError('resume needs out, the folder of the first run')
    return tempfile.TemporaryDirectory()


def can_be_read(info: dict, on_broken) -> bool:
    """Tell whether an image can be read; say so where it cannot."""
    from mmclip.clipasso.preprocess import read_picture

    try:
        read_picture(info['img_path'])
    except ValueError as error:
        on_broken(info['img_path'], error)
        return False
    return True


def raise_it(name: str, error: Exception) -> None:
    """Raise the error of a file that is the only one."""
    raise error


def as_text(paths):
    """Return paths as texts, which a config can hold."""
    if isinstance(paths, (list, tuple)):
        return [str(path) for path in paths]
    return paths and str(paths)


def as_files(image, path: Path, recursive: bool = False) -> list[str]:
    """Return the files of an image; what is no file is written to ``path``.

    Raises:
        ValueError: It is an address, or an array or bytes that are no image.
        TypeError: It is nothing that could be one.
    """
    from mmclip.clipasso.dataset import find_images

    if isinstance(image, (str, Path)):
        refuse_address(image)
        if recursive and Path(image).is_dir():
            return [str(p) for p in images_inside(Path(image), recursive)]
        return [str(file) for file in find_images(image)]
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, (bytes, bytearray, memoryview)):
        load_image(image)  # says what is wrong with it
        path.write_bytes(image)
        return [str(path)]
    picture = image
    if not isinstance(image, Image.Image):
        load_image(image)
        picture = Image.fromarray(np.ascontiguousarray(image).squeeze())
    picture.save(path)
    return [str(path)]
