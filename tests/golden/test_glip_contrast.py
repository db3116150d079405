import sys
from pathlib import Path

import numpy as np
import pytest

ROOM = Path(__file__).parent
sys.path.insert(0, str(ROOM))

from cases import load_case  # noqa: E402

CASE = ROOM / 'cases/glip/v2_inter_image_contrastive.npz'


def on_ranks(arrays: dict, *parts: slice) -> dict:
    """Give each rank some of the images."""
    counts = arrays['in_num_gt']
    ends = np.cumsum(counts)
    split = {}
    for rank, images in enumerate(parts):
        boxes = slice(ends[images][0] - counts[images][0], ends[images][-1])
        for name, value in arrays.items():
            rows = (
                boxes
                if len(value.shape) and len(value) == ends[-1]
                else images
            )
            if name.startswith('in_'):
                split[f'rank{rank}_{name}'] = value[rows]
        split[f'rank{rank}_out_loss'] = arrays['out_loss']
    return split


@pytest.mark.dist
def test_ranks_of_unequal_batches_share_the_loss_of_the_whole():
    import glip_contrast

    meta, arrays = load_case(CASE)
    meta['config']['world_size'] = 2
    split = on_ranks(arrays, slice(0, 2), slice(2, 3))
    ours = glip_contrast.contrast(meta, split)
    losses = [float(ours[f'rank{rank}_out_loss']) for rank in (0, 1)]
    assert losses[0] != losses[1]
    np.testing.assert_allclose(np.mean(losses), arrays['out_loss'], rtol=1e-5)


def test_regions_drawn_at_random_are_taken_from_the_case():
    import glip_contrast
    from cases import CaseError

    meta, arrays = load_case(CASE)
    meta['config']['max_positive_anchors'] = 5
    counts = arrays['out_num_used']
    starts = np.cumsum(counts) - counts
    kept = [starts[i] + k for i in range(3) for k in range(min(5, counts[i]))]
    arrays['out_used_anchors'] = arrays['out_used_anchors'][kept]
    arrays['out_num_used'] = counts.clip(max=5)
    ours = glip_contrast.compute(meta, arrays)
    assert (np.asarray(ours['out_used_anchors'])
            == arrays['out_used_anchors']).all()  # fmt: skip
    arrays['out_used_anchors'][0] = 0
    with pytest.raises(CaseError, match='no box but the first'):
        glip_contrast.compute(meta, arrays)
