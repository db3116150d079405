import pytest
import torch

from mmclip.clip.ground_truth import check_mask, pad_masks
from tests.lseg.tiny import sample


def test_a_mask_of_another_size_is_refused():
    check_mask(sample((8, 6), label=0), (8, 6))
    with pytest.raises(ValueError, match=r'\(8, 6\) pixels came with an'):
        check_mask(sample((8, 6), label=0), (6, 8))


def test_masks_are_padded_with_what_is_ignored():
    made = [sample((3, 5), label=2), sample((4, 8), label=1)]
    pad_masks(made, (4, 8), 255)
    first, second = (s.gt_sem_seg.data for s in made)
    assert first.shape == second.shape == (1, 4, 8)
    assert (first[0, :3, :5] == 2).all()
    assert (first == 255).sum() == 4 * 8 - 3 * 5
    assert torch.equal(second, torch.ones(1, 4, 8, dtype=second.dtype))
