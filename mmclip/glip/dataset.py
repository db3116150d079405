"""Grounding data whose captions name more than what has boxes."""

import json
from io import StringIO

from mmdet.datasets import ODVGDataset
from mmengine.fileio import get_text

from mmclip.registry import DATASETS


@DATASETS.register_module()
class GroundingDataset(ODVGDataset):
    """Read mmdet's ODVG lines, and which phrases nobody found.

    A line of pseudo labels may list ``unboxed`` phrases beside ``regions``:
    the caption names them, but the teacher drew no box. Each image of
    phrases gets ``unboxed``, a list of spans for every such phrase, empty
    where the line says nothing; :class:`PackNegativeCaptions` decides what
    the student makes of them. All else is as in mmdet's data set.
    """

    def load_data_list(self) -> list[dict]:
        """Return the images, in the file's order."""
        images = super().load_data_list()
        if self.dataset_mode != 'VG':
            return images
        text = get_text(self.ann_file, backend_args=self.backend_args)
        for image, line in zip(images, StringIO(text), strict=True):
            unboxed = json.loads(line)['grounding'].get('unboxed', [])
            image['unboxed'] = [one['tokens_positive'] for one in unboxed]
        return images
