"""See a dataset of mmdet as a list of images: ids, pixels and nothing else."""

import hashlib
import os.path as osp
from collections.abc import Iterator, Sequence

import torch
from mmengine.dataset import BaseDataset
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from mmclip.vild.shards import ids_hash


class DatasetImages(Dataset):
    """The images of a dataset in their own order, as RGB tensors.

    Args:
        dataset: Built by mmdet's registry, with a pipeline that begins by
            loading the image; datasets that draw their images
            (:class:`mmclip.data.shapes_dataset.ShapesDataset`) need none.

    Attributes:
        ids (list): ``img_id`` of each image.

    Raises:
        ValueError: An id occurs twice, there is no image, or the dataset is
            a wrapper.
    """

    def __init__(self, dataset: BaseDataset):
        if not isinstance(dataset, BaseDataset):
            raise ValueError(
                f'{type(dataset).__name__} is no single dataset: name the one '
                'inside, or run once for each'
            )
        dataset.full_init()
        self.dataset = dataset
        self.ids = [self.info(i)['img_id'] for i in range(len(dataset))]
        if not self.ids or len(set(self.ids)) < len(self.ids):
            raise ValueError(
                f'{type(dataset).__name__} has {len(self.ids)} images with '
                f'{len(set(self.ids))} ids: expected at least one image and '
                'an id of its own for each'
            )

    def info(self, index: int) -> dict:
        """Return what the dataset lists; nothing is drawn or loaded."""
        return BaseDataset.get_data_info(self.dataset, index)

    @property
    def identity(self) -> str:
        """A hash of the image set: of the ids, in order.

        Where no file is behind an image, its path (the seed of a drawn
        scene, say) counts too: such ids only count the images.
        """
        digest = ids_hash(self.ids)
        if osp.isfile(self.info(0).get('img_path', '')):
            return digest
        paths = [self.info(i).get('img_path', '') for i in range(len(self))]
        text = '\n'.join([digest, *paths])
        return hashlib.sha256(text.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Tensor:
        """Load one image, RGB uint8 (3, H, W), by the dataset's own loader.

        Raises:
            ValueError: The pipeline has no step that loads an image.
        """
        info = self.dataset.get_data_info(index)
        if 'img' not in info:
            info = self.loader(info)
        image = torch.from_numpy(info['img'][..., ::-1].copy())  # from BGR
        return image.permute(2, 0, 1).contiguous()

    @property
    def loader(self):
        """The first step of the pipeline that reads an image file."""
        from mmcv.transforms import LoadImageFromFile

        for step in self.dataset.pipeline.transforms:
            if isinstance(step, LoadImageFromFile):
                return step
        raise ValueError(
            f'the pipeline of {type(self.dataset).__name__} loads no image: '
            "begin it with dict(type='LoadImageFromFile')"
        )

    def load(self, indices: Sequence[int], workers: int) -> Iterator[Tensor]:
        """Load images one after the other, ahead of need with workers."""
        return iter(
            DataLoader(
                Subset(self, indices), batch_size=None, num_workers=workers
            )
        )


def build_split(cfg, split: str, pipeline: Sequence[dict] | None = None):
    """Build the dataset of a config's split, as it filters its images.

    Args:
        cfg: The config of a run.
        split: ``'train'``, ``'val'`` or ``'test'``.
        pipeline: Transforms; by default those that load the image.

    Raises:
        ValueError: The split is absent or several datasets at once.
    """
    from mmdet.registry import DATASETS

    options = cfg.get(f'{split}_dataloader')
    while isinstance(options, dict) and 'dataset' in options:
        options = options['dataset']  # balancing and repeating wrappers
    if not isinstance(options, dict) or 'datasets' in options:
        raise ValueError(
            f"split '{split}' is absent from the config or joins several "
            'datasets: expected one dataset in train_, val_ or test_dataloader'
        )
    if pipeline is None:
        pipeline = [
            step
            for step in options['pipeline']
            if step['type'].endswith('LoadImageFromFile')
        ]
    return DATASETS.build(dict(options, pipeline=list(pipeline)))


def proposal_pipeline(cfg) -> list[dict]:
    """Return the test pipeline of a config without its annotations."""
    return [
        step
        for step in cfg.test_dataloader.dataset.pipeline
        if not step['type'].endswith('LoadAnnotations')
    ]
