"""Images with captions and no masks, to be read beside those with masks."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset

from mmclip.registry import DATASETS

IGNORED = 255


@DATASETS.register_module()
class CaptionedImages(BaseDataset):
    """Image-text pairs whose every pixel is ignored, for ``loss_caption``.

    Join it with a data set of masks by ``mmengine.ConcatDataset``, the masks
    first, with ``ignore_keys=['classes', 'palette', ...]``, and let
    ``PackSegInputs`` pass ``caption`` on in its ``meta_keys``.

    Args:
        ann_file: Lines of JSON with ``image`` and ``caption`` (a string, or
            a list of which one is drawn each time), as ``mmclip shapes
            pairs`` writes; or COCO's captions (.json).
        pipeline: Transforms of mmseg. ``LoadAnnotations`` lays out the
            ignored map; it stands behind the image's loading.
        kwargs: Further arguments of ``mmengine.dataset.BaseDataset``.

    Raises:
        ValueError: A line has no image or no caption.
    """

    def __init__(self, *args, pipeline: Sequence = (), **kwargs) -> None:
        steps = []
        for step in pipeline:
            kind = step['type'] if isinstance(step, dict) else step
            ours = str(kind).rpartition('.')[2] == 'LoadAnnotations'
            steps.append(ignore_all if ours else step)
        super().__init__(*args, pipeline=steps, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images with their captions."""
        path = Path(self.ann_file)
        if not path.is_file():
            raise FileNotFoundError(f"there is no caption file '{path}'")
        read = read_coco if path.suffix == '.json' else read_lines
        folder = Path(self.data_prefix.get('img_path') or '')
        return [
            dict(
                img_path=str(folder / image),
                captions=captions,
                seg_fields=[],
                label_map=None,
                reduce_zero_label=False,
            )
            for image, captions in read(path)
        ]

    def get_data_info(self, idx: int) -> dict:
        """Return one image with one of its captions, ``caption``."""
        info = super().get_data_info(idx)
        captions = info.pop('captions')
        info['caption'] = captions[np.random.randint(len(captions))]
        return info


def read_lines(path: Path) -> list[tuple[str, list[str]]]:
    """Return the image and captions of each line that is not blank."""
    found = []
    lines = path.read_text('utf8').split('\n')
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        record = json.loads(line)
        some = record.get('caption')
        some = [some] if isinstance(some, str) else some
        if not record.get('image') or not some:
            raise ValueError(
                f"'{path}' line {number} has the keys {sorted(record)}: "
                "expected 'image' and 'caption', neither of them empty"
            )
        found.append((record['image'], list(some)))
    return found


def read_coco(path: Path) -> list[tuple[str, list[str]]]:
    """Return the image and captions of each image that has any."""
    content = json.loads(path.read_text('utf8'))
    captions = defaultdict(list)
    for record in content['annotations']:
        captions[record['image_id']].append(record['caption'])
    return [
        (image['file_name'], captions[image['id']])
        for image in content['images']
        if captions[image['id']]
    ]


def ignore_all(results: dict) -> dict:
    """Put a map of ignored pixels where ``LoadAnnotations`` puts one."""
    results['gt_seg_map'] = np.full(
        results['img'].shape[:2], IGNORED, np.uint8
    )
    results['seg_fields'].append('gt_seg_map')
    return results
