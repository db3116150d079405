"""Let a segmentor or detector say what of a photograph is foreground.

H x W pixels, K names.
"""

from collections.abc import Sequence

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from mmclip.registry import TASK_UTILS

OTHERS = ('background', 'other', 'others', 'unlabeled')


@TASK_UTILS.register_module()
class ForegroundModel:
    """Mask photographs with a trained model of mmseg, mmdet or mmclip.

    Of a segmentor the pixels of the wanted names count, of a detector the
    masks (boxes, where it has no masks) of their instances. A model that
    reads names (our LSeg, GroupViT and ViLD) is asked for the wanted ones
    beside 'other'.

    Args:
        config: Path of its config, or the config.
        checkpoint: Its weights; ``None`` leaves them random.
        names: What counts as foreground. By default the class of the image,
            where the dataset says one, else every name but 'background'.
        score_thr: Least score of an instance.
        device: As of torch; the CPU by default.

    Raises:
        ValueError: The model knows none of the names.
    """

    def __init__(
        self,
        config: str | Config,
        checkpoint: str | None = None,
        names: Sequence[str] | None = None,
        score_thr: float = 0.3,
        device: str = 'cpu',
    ) -> None:
        self.names, self.score_thr = names, score_thr
        cfg = read(config)
        self.scope = cfg.get('default_scope', 'mmseg')
        with self.in_scope():
            self.model = load_model(cfg, checkpoint, device)

    @property
    def detects(self) -> bool:
        """Tell whether the model is a detector."""
        return self.scope == 'mmdet'

    def in_scope(self):
        """Look bare types up where the model's config means them."""
        return DefaultScope.overwrite_default_scope(self.scope)

    def __call__(
        self, image: np.ndarray, class_name: str | None = None
    ) -> np.ndarray:
        """Mask one image.

        Args:
            image: uint8 RGB (H, W, 3).
            class_name: What it shows, if that is known.

        Returns:
            bool (H, W).
        """
        wanted = self.names or ([class_name] if class_name else None)
        if wanted and hasattr(self.model, 'set_vocabulary'):
            names = list(wanted) if self.detects else [*wanted, 'other']
            self.model.set_vocabulary(names)
        bgr = np.ascontiguousarray(image[..., ::-1])
        with self.in_scope():
            look = self.instances if self.detects else self.pixels
            return look(bgr, wanted)

    def labels(self, known: Sequence[str], wanted) -> list[int]:
        """Return the indices of the wanted names among those known."""
        if not wanted:
            return [k for k, n in enumerate(known) if n not in OTHERS]
        found = [k for k, name in enumerate(known) if name in wanted]
        if not found:
            raise ValueError(
                f'the foreground model knows none of {", ".join(wanted)}: it '
                f'knows {", ".join(known)}'
            )
        return found

    def pixels(self, bgr: np.ndarray, wanted) -> np.ndarray:
        """Return the pixels of the wanted names."""
        from mmseg.apis import inference_model

        found = inference_model(self.model, bgr)
        known = found.get('label_names') or self.model.dataset_meta['classes']
        label = found.pred_sem_seg.data.squeeze(0).cpu().numpy()
        return np.isin(label, self.labels(known, wanted))

    def instances(self, bgr: np.ndarray, wanted) -> np.ndarray:
        """Return the pixels of the wanted instances."""
        from mmdet.apis import inference_detector

        found = inference_detector(self.model, bgr).pred_instances.cpu()
        found = found[found.scores >= self.score_thr]
        known = list(self.model.dataset_meta['classes'])
        if 'label_names' in found:
            known = list(dict.fromkeys([*known, *(wanted or ())]))
            labels = [known.index(name) for name in found.label_names]
        else:
            labels = found.labels.tolist()
        kept = set(self.labels(known, wanted))
        mask = np.zeros(bgr.shape[:2], bool)
        for k, label in enumerate(labels):
            if label not in kept:
                continue
            if 'masks' in found:
                mask |= np.asarray(found.masks[k]).astype(bool).squeeze()
            else:
                left, top, right, bottom = found.bboxes[k].round().long()
                mask[max(top, 0) : bottom, max(left, 0) : right] = True
        return mask


def read(config: str | Config) -> Config:
    """Read a config; its pipeline then loads no annotations."""
    given = isinstance(config, Config)
    cfg = Config(config.to_dict()) if given else Config.fromfile(config)
    steps = cfg.get('test_pipeline') or cfg.test_dataloader.dataset.pipeline
    cfg.test_pipeline = [
        step for step in steps if 'LoadAnnotations' not in step['type']
    ]
    cfg.test_dataloader.dataset.pipeline = cfg.test_pipeline
    return cfg


def load_model(cfg: Config, checkpoint: str | None, device: str) -> nn.Module:
    """Build a model of mmseg or mmdet with its weights."""
    if cfg.get('default_scope') == 'mmdet':
        from mmdet.apis import init_detector

        return init_detector(cfg, checkpoint, device=device)
    from mmseg.apis import init_model

    return init_model(cfg, checkpoint, device=device)
