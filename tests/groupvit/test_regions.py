import pytest
import torch

from mmclip.groupvit.attention import straight_through
from mmclip.groupvit.regions import Regions, merge, regroup
from tests.groupvit.tiny import images, pretrainer


@pytest.fixture(scope='module')
def model():
    return pretrainer().eval()


@torch.no_grad()
def test_masks_of_the_last_groups_have_their_features(model):
    _, groups, grouping = model.encode_image(images(2))
    for image in range(2):
        members = straight_through(grouping.assignments[-1][image])
        found = regroup(model, grouping, 1, image, members, own=1)
        # a group without tokens is asked for by no token here
        if (members.sum(dim=1) > 0).all():
            torch.testing.assert_close(found, groups[image])
        else:
            assert found.shape == groups[image].shape


@torch.no_grad()
def test_a_mask_may_inherit_what_its_group_is(model):
    _, groups, grouping = model.encode_image(images(1))
    members = straight_through(grouping.assignments[-1][0])
    members = members[members.sum(dim=1) > 0]
    kept = members.argmax(dim=1)
    owner = grouping.assignments[-1][0].argmax(dim=0)[kept]
    found = regroup(model, grouping, 1, 0, members, own=0)
    torch.testing.assert_close(found, groups[0, owner])


def test_what_looks_alike_is_merged_first():
    torch.manual_seed(0)
    a, b = torch.randn(2, 16)
    tokens = torch.stack([a, b, a + 0.01, b + 0.01, a - 0.01])
    members = merge(tokens, torch.ones(5), threshold=0.9, most=5)
    assert members.tolist() == [[1, 0, 1, 0, 1], [0, 1, 0, 1, 0]]


@pytest.mark.parametrize('most', [1, 2, 6])
def test_there_are_no_more_masks_than_asked_for(most):
    torch.manual_seed(0)
    members = merge(torch.randn(6, 8), torch.ones(6), 0.999, most)
    assert len(members) == most
    assert members.sum(dim=0).tolist() == [1] * 6


@torch.no_grad()
@pytest.mark.parametrize('batch', [1, 2])
def test_every_pixel_gets_a_mask_that_is_there(model, batch):
    grouping = model.encode_image(images(batch, 20, 36))[2]
    features, labels = Regions(threshold=0.5, most=5)(model, grouping)
    assert features.shape == (batch, 5, 12)
    assert labels.shape == (batch, 20, 36)
    used = grouping.shares(0).sum(dim=2)
    tokens = grouping.tokens[1]
    for k in range(batch):
        count = len(merge(tokens[k], used[k], 0.5, 5))
        assert labels[k].max() < count


@torch.no_grad()
def test_an_image_is_alike_alone_and_in_a_batch(model):
    regions = Regions(threshold=0.5, most=5)
    both = regions(model, model.encode_image(images(2))[2])
    alone = regions(model, model.encode_image(images(2)[1:])[2])
    torch.testing.assert_close(both[0][1:], alone[0])
    assert (both[1][1:] == alone[1]).all()


@torch.no_grad()
def test_one_stage_has_nothing_to_merge():
    image = dict(
        depths=(1, 1), num_group_tokens=(6, 0), num_output_groups=(6,)
    )
    settings = dict(img_size=32, patch_size=8, embed_dims=32, num_heads=2)
    model = pretrainer(img_encoder=settings | image).eval()
    with pytest.raises(ValueError, match='two grouping stages'):
        Regions()(model, model.encode_image(images(1))[2])
