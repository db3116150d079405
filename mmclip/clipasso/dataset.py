"""The photographs to sketch: a folder, a file, or a list of them."""

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.dataset import BaseDataset

from mmclip.registry import DATASETS

SUFFIXES = ('.png', '.jpg', '.jpeg', '.webp', '.bmp', '.gif', '.tif', '.tiff')
Paths = str | Path | Sequence[str | Path]


@DATASETS.register_module()
class SketchImageDataset(BaseDataset):
    """List images to sketch, with masks and class names where given.

    Args:
        images: A folder (its images, sorted by name), a file, a pattern with
            ``*``, or a list of these.
        masks: Foreground masks, white where the image stays: a folder in
            which a mask has the stem of its image, or a list as long as the
            images.
        class_names: What the images show: one name for all, a list as long
            as the images, or a dict by stem.
        pipeline: Transforms.

    Raises:
        FileNotFoundError: An image or mask is not there, or a folder is
            empty.
        ValueError: Lists differ in length.
    """

    METAINFO = dict(dataset_type='sketch', task_name='sketch')

    def __init__(
        self,
        images: Paths,
        masks: Paths | None = None,
        class_names: str | Sequence[str] | Mapping[str, str] | None = None,
        pipeline: Sequence = (),
        **kwargs,
    ) -> None:
        self.images, self.masks = images, masks
        self.class_names = class_names
        super().__init__(pipeline=list(pipeline), **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return path, name, mask and class of every image."""
        files = find_images(self.images)
        masks = self.find_masks(files)
        names = unique_stems(files)
        return [
            dict(
                img_path=str(path),
                name=name,
                mask_path=mask and str(mask),
                class_name=class_name,
            )
            for path, name, mask, class_name in zip(
                files, names, masks, self.find_classes(files)
            )
        ]

    def find_masks(self, files: list[Path]) -> list[Path | None]:
        """Return the mask of each image."""
        if self.masks is None:
            return [None] * len(files)
        if isinstance(self.masks, (str, Path)) and Path(self.masks).is_dir():
            by_stem = {p.stem: p for p in find_images(self.masks)}
            lacking = [f for f in files if f.stem not in by_stem]
            if lacking:
                raise FileNotFoundError(
                    f"the folder '{self.masks}' has no mask called "
                    f"'{lacking[0].stem}.*' for '{lacking[0]}'"
                )
            return [by_stem[f.stem] for f in files]
        return as_long_as(files, find_images(self.masks), 'masks')

    def find_classes(self, files: list[Path]) -> list[str | None]:
        """Return the class name of each image."""
        given = self.class_names
        if given is None or isinstance(given, str):
            return [given] * len(files)
        if isinstance(given, Mapping):
            return [given.get(f.stem) for f in files]
        return as_long_as(files, list(given), 'class_names')


def find_images(images: Paths) -> list[Path]:
    """Return the files that folders, patterns and paths stand for.

    Raises:
        FileNotFoundError: One stands for nothing.
    """
    if not isinstance(images, (str, Path)):
        if not len(images):
            raise FileNotFoundError(
                'no image is named: set train_dataloader.dataset.images to a '
                'file, a folder or a list'
            )
        return [f for each in images for f in find_images(each)]
    path = Path(images).expanduser()
    if path.is_dir():
        found = sorted(f for f in path.iterdir() if is_image(f))
        if not found:
            raise FileNotFoundError(
                f"the folder '{path}' holds no image: files ending in "
                f'{", ".join(SUFFIXES)} are taken'
            )
        return found
    if not path.is_file() and set('*?[') & set(str(path)):
        found = [Path(f) for f in sorted(glob.glob(str(path)))]
        if found:
            return found
    if not path.is_file():
        raise FileNotFoundError(f"there is no image '{path}'")
    return [path]


def is_image(path: Path) -> bool:
    """Tell an image by its name; hidden files are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith('.')


def as_long_as(files: list, values: list, what: str) -> list:
    """Return values if there is one for each file.

    Raises:
        ValueError: There is not.
    """
    if len(values) != len(files):
        raise ValueError(
            f'{len(values)} {what} for {len(files)} images: one for each is '
            'expected'
        )
    return values


def unique_stems(files: list[Path]) -> list[str]:
    """Return names of files without folder and suffix, each once."""
    taken, names = set(), []
    for file in files:
        name, number = file.stem, 1
        while name in taken:
            number += 1
            name = f'{file.stem}-{number}'
        taken.add(name)
        names.append(name)
    return names
