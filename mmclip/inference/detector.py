"""Detect what a text names: image in, plain dict out."""

import copy
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmclip.inference.image import load_image


def detect(
    image,
    text=None,
    *,
    model: str,
    config: str | None = None,
    score_thr: float = 0.3,
    device: str | None = None,
) -> dict:
    """Find what ``text`` names in an image.

    The model is kept for the next call with the same ``model``. Example::

        from mmclip import detect
        found = detect('scene.png', 'red circle . blue square',
                       model='work_dirs/vild_r18_fpn_shapes')

    Args:
        image: Path, uint8 RGB array (H, W[, 3]) or PIL image.
        text: ``'red circle . blue square'``, a list of names, or
            ``{label: [prompts]}``; None takes the names saved in the
            checkpoint.
        model: Work directory of a training, or a checkpoint file.
        config: Its config, where the checkpoint does not hold it.
        score_thr: Least score returned.
        device: Such as 'cuda:0'; None takes the first accelerator, else the
            CPU.

    Returns:
        ``labels``: N names; ``scores``: (N,); ``boxes``: (N, 4) xyxy pixels
        of the image; ``masks``: (N, H, W) bool, if the model has them. The
        best score comes first.
    """
    return kept_detector(str(model), config, device)(
        image, text, score_thr=score_thr
    )


@lru_cache(maxsize=2)
def kept_detector(model: str, config: str | None, device: str | None):
    """Build a detector, or return the one built before."""
    return Detector(model, config=config, device=device)


class Detector:
    """Any mmdet detector, asked in words.

    Args:
        model: Work directory of a training, or a checkpoint file.
        config: Path of its config; None takes the one in the checkpoint.
        device: As in :func:`detect`.
    """

    def __init__(
        self,
        model: str,
        *,
        config: str | None = None,
        device: str | None = None,
    ):
        from mmdet.registry import MODELS
        from mmengine.device import get_device
        from mmengine.runner import load_checkpoint
        from mmengine.runner.checkpoint import CheckpointLoader

        self.checkpoint = find_checkpoint(model)
        saved = CheckpointLoader.load_checkpoint(
            self.checkpoint, map_location='cpu'
        )
        cfg = read_config(config, saved, self.checkpoint)
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        self.device = device or get_device()
        self.model = MODELS.build(without_pretrained(cfg.model))
        load_checkpoint(self.model, self.checkpoint, map_location='cpu')
        self.model.to(self.device).eval()
        self.classes = (
            saved.get('meta', {}).get('dataset_meta', {}).get('classes', ())
        )
        self.pipeline = image_pipeline(cfg.test_dataloader.dataset)

    def set_vocabulary(self, vocabulary, names=None, novel=None) -> None:
        """Answer in other names from now on; needs one of our models."""
        self.model.set_vocabulary(vocabulary, names, novel)

    @torch.no_grad()
    def __call__(
        self,
        image,
        text=None,
        *,
        score_thr: float = 0.3,
        channel_order: str = 'rgb',
    ) -> dict:
        """Detect in one image; see :func:`detect`."""
        picture = load_image(image, channel_order)
        height, width = picture.shape[:2]
        packed = self.pipeline(
            dict(
                img=np.ascontiguousarray(picture[..., ::-1]),
                img_id=0,
                img_path=None,
                img_shape=(height, width),
                ori_shape=(height, width),
            )
        )
        if text is not None:
            packed['data_samples'].set_metainfo(
                dict(text=text, custom_entities=True)
            )
        sample = self.model.test_step(
            dict(
                inputs=[packed['inputs']],
                data_samples=[packed['data_samples']],
            )
        )[0]
        return plain(sample.pred_instances, self.classes, score_thr)


def plain(instances, classes, score_thr: float) -> dict:
    """Turn mmdet's instances into a dict of names and arrays, best first."""
    instances = instances.cpu().numpy()
    names = (
        list(instances.label_names)
        if 'label_names' in instances
        else [classes[label] for label in instances.labels]
    )
    order = np.argsort(-instances.scores, kind='stable')
    order = order[instances.scores[order] >= score_thr]
    found = dict(
        labels=[names[i] for i in order],
        scores=instances.scores[order],
        boxes=instances.bboxes[order],
    )
    if 'masks' in instances:
        found['masks'] = np.asarray(instances.masks)[order].astype(bool)
    return found


def find_checkpoint(model: str) -> str:
    """Return the checkpoint of a work directory, or the file itself.

    Raises:
        FileNotFoundError: There is none.
    """
    path = Path(model)
    if path.is_dir():
        last = path / 'last_checkpoint'
        if not last.is_file():
            raise FileNotFoundError(
                f'{path} holds no last_checkpoint: train into it first '
                f'(--work-dir {path}) or name the checkpoint itself'
            )
        saved = Path(last.read_text().strip())
        # a work directory may have been moved since
        path = saved if saved.is_file() else path / saved.name
    if not path.is_file():
        raise FileNotFoundError(
            f'there is no checkpoint {path}: name a work directory of '
            '`mmclip train` or a .pth file'
        )
    return str(path)


def read_config(config: str | None, saved: dict, checkpoint: str) -> Config:
    """Return the given config, or the one that mmengine saved.

    Raises:
        ValueError: The checkpoint holds none.
    """
    if config is not None:
        from mmclip.jobs import find_config

        return Config.fromfile(find_config(config))
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
    """Return the test pipeline, fed with an array instead of a file."""
    from mmcv.transforms import Compose

    while 'pipeline' not in dataset:
        dataset = dataset['dataset']
    steps = [
        step
        for step in dataset['pipeline']
        if not step['type'].split('.')[-1].startswith('Load')
    ]
    return Compose([dict(type='mmdet.LoadImageFromNDArray'), *steps])
