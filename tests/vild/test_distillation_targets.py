import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData
from torch.nn.functional import normalize

from mmclip.vild.distillation_targets import collect_targets


def sample(weights=None, width=4):
    one = DetDataSample(metainfo=dict(img_shape=(48, 64)))
    if weights is not None:
        count = len(weights)
        one.distill_instances = InstanceData(
            bboxes=torch.rand(count, 4) * 40,
            embeddings=normalize(torch.randn(count, width), dim=1),
            weights=torch.tensor(weights, dtype=torch.float32),
        )
    return one


def test_rows_that_count_are_gathered_with_their_image():
    batch = [sample([1, 0, 0.5]), sample(), sample([0, 1])]
    targets = collect_targets(batch, 4)
    assert targets.rois[:, 0].tolist() == [0, 0, 2]
    assert targets.weights.tolist() == [1, 0.5, 1]
    first = batch[0].distill_instances
    torch.testing.assert_close(targets.rois[:2, 1:], first.bboxes[::2])
    torch.testing.assert_close(targets.embeddings[:2], first.embeddings[::2])


def test_half_precision_is_widened_and_made_unit():
    one = sample([1, 1, 1], width=64)
    exact = one.distill_instances.embeddings
    one.distill_instances.embeddings = exact.half()
    rows = collect_targets([one], 64).embeddings
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows, exact, rtol=0, atol=5e-4)
    torch.testing.assert_close(
        rows.norm(dim=1), torch.ones(3), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize('wrong', [float('nan'), float('inf'), 0.0])
def test_a_row_without_a_direction_names_its_image(wrong):
    one = sample([1, 1])
    one.set_metainfo(dict(img_id=7))
    one.distill_instances.embeddings[1] *= wrong
    with pytest.raises(ValueError, match='row 1 .* image 7 .* again'):
        collect_targets([sample([1]), one], 4)
    one.distill_instances.weights[1] = 0  # and where it does not count?
    assert len(collect_targets([one], 4).rois) == 1


def test_boxes_may_be_mmdets_objects():
    one = sample([1, 1])
    boxes = one.distill_instances.bboxes
    one.distill_instances.bboxes = HorizontalBoxes(boxes)
    torch.testing.assert_close(collect_targets([one], 4).rois[:, 1:], boxes)


@pytest.mark.parametrize('weights', [[], [0], [0, 0, 0]])
def test_a_batch_where_nothing_counts_is_empty(weights):
    targets = collect_targets([sample(weights), sample()], 4)
    assert targets.rois.shape == (0, 5)
    assert targets.embeddings.shape == (0, 4)


@pytest.mark.parametrize(('weights', 'kept'), [([], 0), ([1], 1)])
def test_a_pass_of_its_own_has_two_regions_at_least(weights, kept):
    padded = collect_targets([sample(weights)], 4).padded((48, 64))
    assert len(padded.rois) == len(padded.embeddings) == 2
    assert padded.rois[-1].tolist() == [0, 0, 0, 64, 48]
    assert padded.weights.tolist() == [1.0] * kept + [0.0] * (2 - kept)


def test_two_regions_need_no_padding():
    targets = collect_targets([sample([1, 1])], 4)
    assert targets.padded((48, 64)) is targets


def test_a_batch_without_a_teacher_says_what_to_do():
    with pytest.raises(ValueError, match='no image .* distill_instances'):
        collect_targets([sample(), sample()], 4)


def test_embeddings_of_another_clip_are_refused():
    with pytest.raises(ValueError, match=r'\(2, 7\) but .* 4 wide'):
        collect_targets([sample([1]), sample([1, 1], width=7)], 4)
