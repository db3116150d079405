"""Build a trained model from its checkpoint, ready for single images."""

import copy
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmclip.inference.image import load_image


class TrainedModel:
    """A model with the weights, config and test pipeline of its training.

    Args:
        model: Work directory of a training, or a checkpoint file.
        config: Path of its config; None takes the one in the checkpoint.
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

    def __init__(
        self,
        model: str,
        *,
        config: str | None = None,
        device: str | None = None,
    ) -> None:
        from mmengine.device import get_device
        from mmengine.registry import MODELS
        from mmengine.runner import load_checkpoint
        from mmengine.runner.checkpoint import CheckpointLoader

        self.checkpoint = find_checkpoint(model)
        saved = CheckpointLoader.load_checkpoint(
            self.checkpoint, map_location='cpu'
        )
        cfg = self.adapt(read_config(config, saved, self.checkpoint))
        init_default_scope(cfg.get('default_scope', self.default_scope))
        self.device = device or get_device()
        self.model = MODELS.build(without_pretrained(cfg.model))
        load_checkpoint(self.model, self.checkpoint, map_location='cpu')
        self.model.to(self.device).eval()
        self.classes = (
            saved.get('meta', {}).get('dataset_meta', {}).get('classes', ())
        )
        self.pipeline = image_pipeline(cfg.test_dataloader.dataset)

    def adapt(self, cfg: Config) -> Config:
        """Return the config that is built, of that of the training."""
        return cfg

    def pack(self, image, channel_order: str = 'rgb', **meta) -> dict:
        """Bring one image through the test pipeline.

        Args:
            image: Path, uint8 RGB array or PIL image.
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
