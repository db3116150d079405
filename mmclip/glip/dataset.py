"""Grounding data whose captions name more than what has boxes."""

import json
from io import StringIO
from os.path import join

from mmdet.datasets import ODVGDataset
from mmengine.fileio import get_text, load

from mmclip.registry import DATASETS


@DATASETS.register_module()
class GroundingDataset(ODVGDataset):
    """Read mmdet's ODVG lines, and which phrases nobody found.

    A line of pseudo labels may list ``unboxed`` phrases beside ``regions``:
    the caption names them, but the teacher drew no box. Each image of
    phrases gets ``unboxed``, a list of spans for every such phrase, empty
    where the line says nothing; :class:`PackNegativeCaptions` decides what
    the student makes of them. All else is as in mmdet's data set, but that
    ``label_map_file`` is read with the images, not before.

    Args:
        label_map_file: As for mmdet's, beside ``data_root``.
        data_root: Likewise.
        **kwargs: Likewise.
    """

    def __init__(
        self,
        *args,
        label_map_file: str | None = None,
        data_root: str = '',
        **kwargs,
    ) -> None:
        self.label_map_file = label_map_file
        super().__init__(*args, data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return the images, in the file's order."""
        if self.label_map_file:
            path = join(self.data_root, self.label_map_file)
            self.label_map = load(path, backend_args=self.backend_args)
            self.dataset_mode = 'OD'
        images = super().load_data_list()
        if self.dataset_mode != 'VG':
            return images
        text = get_text(self.ann_file, backend_args=self.backend_args)
        for image, line in zip(images, StringIO(text), strict=True):
            unboxed = json.loads(line)['grounding'].get('unboxed', [])
            image['unboxed'] = [one['tokens_positive'] for one in unboxed]
        return images
