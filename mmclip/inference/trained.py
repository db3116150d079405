"""A trained model, built from its checkpoint: images in, answers out."""

import copy
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmclip.inference.image import load_image
from mmclip.inference.named import source_of
from mmclip.inference.source import ImageSource, tracked
from mmclip.inference.text import read_text

READING = ('recursive', 'channel_order')  # options of an ImageSource


class TrainedModel:
    """A model with the weights, config and test pipeline of its training.

    Args:
        model: Work directory of a training, checkpoint file, name of
            ``mmclip models`` or ``mmclip://``; None takes the best that is
            on this machine and knows photographs, see
            :mod:`mmclip.inference.named`.
        config: Its config, by path or name; None takes the one in the
            checkpoint.
        device: Such as 'cuda:0'; None takes the first accelerator, else the
            CPU.

    Attributes:
        model (nn.Module): The network, in eval mode.
        classes (Sequence[str]): Names saved in the checkpoint.
        pipeline: Takes what ``pack`` gives it.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It does not hold its config and none was given.
    """

    default_scope = 'mmengine'  # where the config names none
    task = 'detection'  # of which the best model is taken
    answers_by = 'forward'  # a method that every model of the task has

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        config: str | None = None,
        device: str | None = None,
    ) -> None:
        from mmengine.device import get_device

        self.checkpoint, config = source_of(model, config, self.task)
        saved = read_checkpoint(self.checkpoint)
        cfg = self.adapt(read_config(config, saved, self.checkpoint))
        init_default_scope(cfg.get('default_scope', self.default_scope))
        self.device = device or get_device()
        self.model = build_model(cfg, saved, self.checkpoint)
        if not hasattr(self.model, self.answers_by):
            raise ValueError(
                f'a {type(self.model).__name__} does no {self.task}: '
                '`mmclip detect` takes detectors, `mmclip segment` segmentors'
            )
        self.model.to(self.device).eval()
        self.classes = (
            saved.get('meta', {}).get('dataset_meta', {}).get('classes', ())
        )
        self.pipeline = image_pipeline(cfg.test_dataloader.dataset)

    def adapt(self, cfg: Config) -> Config:
        """Return the config that is built, of that of the training."""
        return cfg

    # ---- images in, answers out ----

    def __call__(self, image, text=None, *, batch_size: int = 1, **options):
        """Answer for one image with a dict, for many with an iterator.

        Args:
            image: As of :class:`mmclip.inference.source.ImageSource`.
            text: What to look for, see
                :func:`mmclip.inference.text.read_text`.
            batch_size: As of :meth:`stream`.
            options: Likewise.
        """
        reading = {k: options.pop(k) for k in READING if k in options}
        source = ImageSource(image, **reading)
        found = self.stream(source, text, batch_size=batch_size, **options)
        if source.many:
            return found
        (one,) = found
        if isinstance(one, dict):
            one.pop('image')
        return one

    def stream(
        self,
        images,
        text=None,
        *,
        batch_size: int = 1,
        progress: bool = False,
        return_datasamples: bool = False,
        **options,
    ) -> Iterator:
        """Answer for many images, holding a batch at a time.

        Args:
            images: As of :class:`mmclip.inference.source.ImageSource`, or
                one. An iterator is read as it is needed.
            text: Of all images.
            batch_size: Most images at once; only neighbours whose network
                inputs have the same size share a batch.
            progress: Whether a bar is shown on stderr.
            return_datasamples: Whether OpenMMLab's data samples are yielded
                instead of dicts.
            options: Of :meth:`plain`.

        Yields:
            What :meth:`plain` makes of each image, in their order, with
            ``image``: the path, or ``image 3`` for what has none. A file
            that cannot be read is left out.

        Raises:
            ValueError: The batch size is below 1, or the text does not fit
                the model.
            TypeError: There is no such option.
        """
        if batch_size < 1:
            raise ValueError(f'batch_size={batch_size}: expected 1 or more')
        self.check_options(options)
        asked = self.asked(text)
        if not isinstance(images, ImageSource):
            images = ImageSource(images)
        answer = self.plain
        if return_datasamples:
            answer = as_it_is
        pictures = tracked(images, images.count, progress)
        packed = (
            self.pack(picture, img_path=name, **asked)
            for name, picture in pictures
        )
        return self._stream(packed, batch_size, answer, options)

    def check_options(self, options: dict) -> None:
        """Raise a TypeError for an option that :meth:`plain` has not."""
        own = [*inspect.signature(self.plain).parameters][1:]
        unknown = [name for name in options if name not in own]
        if unknown:
            known = [*own, 'batch_size', 'progress', 'return_datasamples']
            raise TypeError(
                f'there is no option {unknown[0]}: expected some of '
                f'{", ".join([*known, *READING])}'
            )

    @torch.no_grad()
    def _stream(self, packed, batch_size: int, answer, options: dict):
        for batch in batches(packed, batch_size):
            names = [each['data_samples'].img_path for each in batch]
            for name, sample in zip(names, self.test(batch, **options)):
                found = answer(sample, **options)
                if isinstance(found, dict):
                    found['image'] = name
                yield found

    def asked(self, text) -> dict:
        """Return the fields by which a data sample asks for ``text``."""
        text = read_text(text)
        return {} if text is None else dict(text=text)

    def test(self, batch: list[dict], **options) -> list:
        """Return the data samples of a batch."""
        data = {key: [each[key] for each in batch] for key in batch[0]}
        return self.model.test_step(data)

    def plain(self, sample, **options) -> dict:
        """Turn a data sample into a dict of names and arrays."""
        raise NotImplementedError

    def pack(self, image, channel_order: str = 'rgb', **meta) -> dict:
        """Bring one image through the test pipeline.

        Args:
            image: A path, bytes, uint8 RGB array or PIL image.
            channel_order: As of :func:`mmclip.inference.image.load_image`.
            meta: Fields that the data sample gets.

        Returns:
            ``inputs`` (3, H, W) and ``data_samples``, of one image.
        """
        picture = load_image(image, channel_order)
        size = picture.shape[:2]
        packed = self.pipeline(
            dict(
                img=np.ascontiguousarray(picture[..., ::-1]),
                img_id=0,
                img_path=None,
                img_shape=size,
                ori_shape=size,
                seg_fields=[],
            )
        )
        packed['data_samples'].set_metainfo(meta)
        return packed


def as_it_is(sample, **options):
    """Return a data sample."""
    return sample


def batches(packed: Iterable[dict], size: int) -> Iterator[list[dict]]:
    """Group up to ``size`` neighbours whose inputs have the same shape."""
    batch: list[dict] = []
    for each in packed:
        if batch and each['inputs'].shape != batch[0]['inputs'].shape:
            yield batch
            batch = []
        batch.append(each)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def read_checkpoint(path: str | None) -> dict:
    """Return what a checkpoint holds; nothing where there is none."""
    from mmengine.runner.checkpoint import CheckpointLoader

    if path is None:
        return {}
    return CheckpointLoader.load_checkpoint(path, 'cpu', logger='silent')


def build_model(cfg: Config, saved: dict, path: str | None):
    """Build the model of a config with the weights of a checkpoint.

    Args:
        cfg: The config.
        saved: What the checkpoint holds; nothing for a model that its config
            makes complete.
        path: Its file.

    Raises:
        ValueError: The checkpoint's tensors are not of this model.
    """
    from mmengine.registry import MODELS
    from mmengine.runner.checkpoint import load_state_dict

    if path is None:
        return MODELS.build(cfg.model)
    model = MODELS.build(without_pretrained(cfg.model))
    state = saved.get('state_dict', saved)
    state = {k.removeprefix('module.'): v for k, v in state.items()}
    if not set(model.state_dict()) & set(state):
        raise ValueError(
            f'{path} does not fit {type(model).__name__}: none of its '
            f'{len(state)} tensors is of that model, such as '
            f"'{next(iter(state), '')}'; name the config it was trained with "
            '(--config), or convert it first (mmclip convert)'
        )
    reshaped = [
        f'{name} {list(state[name].shape)}, in the model {list(own.shape)}'
        for name, own in model.named_parameters()
        if name in state and state[name].shape != own.shape
    ]
    if reshaped:
        raise ValueError(
            f'{path} is of another {type(model).__name__} than its config: '
            f'{len(reshaped)} tensors differ in shape, such as {reshaped[0]}; '
            'name the config it was trained with (--config)'
        )
    load_state_dict(model, state)
    return model


def read_config(config, saved: dict, checkpoint: str | None) -> Config:
    """Return the given config, or the one that mmengine saved.

    Raises:
        ValueError: The checkpoint holds none.
    """
    if isinstance(config, Config):
        return config
    if config is not None:
        from mmclip.jobs import find_config

        return Config.fromfile(find_config(str(config)))
    text = saved.get('meta', {}).get('cfg')
    if not isinstance(text, str):
        raise ValueError(
            f'{checkpoint} does not hold its config: name it '
            'with config= (--config)'
        )
    return Config.fromstring(text, '.py')


def without_pretrained(model: dict) -> dict:
    """Drop every initial weight: the checkpoint holds all of them."""
    model = copy.deepcopy(model)
    for key in list(model):
        value = model[key]
        if key in ('init_cfg', 'pretrained'):
            model[key] = None
        elif isinstance(value, dict):
            model[key] = without_pretrained(value)
    return model


def image_pipeline(dataset: dict):
    """Return the test pipeline behind the loading of the image."""
    from mmcv.transforms import Compose

    while 'pipeline' not in dataset:
        dataset = dataset['dataset']
    return Compose(
        [
            step
            for step in dataset['pipeline']
            if not step['type'].split('.')[-1].startswith('Load')
        ]
    )
