import pytest
import torch
import torch.nn.functional as F

from mmclip.clipasso.augmentation import PairedAugment, perspectives


def smooth(count=2, size=48):
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    return F.interpolate(coarse, size, mode='bicubic').clamp(0, 1)


def test_both_pictures_are_seen_from_the_same_places():
    torch.manual_seed(0)
    augment = PairedAugment(num_views=3, size=48)
    shown, wanted = augment(smooth(), smooth())
    assert shown.shape == (4 * 2, 3, 48, 48)
    assert shown.equal(wanted)
    assert shown[:2].equal(smooth())
    assert not torch.allclose(shown[2:4], shown[4:6], atol=0.05)


@pytest.mark.parametrize('fill', [0.0, 1.0])
def test_one_sampling_shows_what_two_show(fill):
    torch.manual_seed(1)
    options = dict(num_views=4, size=64, fill=fill)
    fused = PairedAugment(fused=True, **options)
    twice = PairedAugment(fused=False, **options)
    picture = smooth(size=64)
    views = fused.draw(64, 64)
    one, two = (a(picture, views=views)[0][2:] for a in (fused, twice))
    assert (one - two).abs().mean() < 0.01
    shifted = (one - two.roll(2, 3)).abs().mean()
    assert (one - two).abs().mean() < shifted / 3


@pytest.mark.parametrize('fused', [True, False])
def test_gradients_come_back(fused):
    picture = smooth().requires_grad_()
    shown = PairedAugment(num_views=1, size=48, fused=fused)(picture)[0]
    shown.sum().backward()
    assert picture.grad.abs().sum() > 0


@pytest.mark.parametrize('fused', [True, False])
def test_no_views_leave_the_plain_picture(fused):
    shown = PairedAugment(num_views=0, size=48, fused=fused)(smooth())[0]
    assert shown.equal(smooth())


def test_a_seed_repeats_the_views():
    augment = PairedAugment(num_views=2)
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(augment.draw(224, 224))
    assert drawn[0].end.equal(drawn[1].end)
    assert drawn[0].crop[0, 2] == 200  # .8 of the area


def test_a_perspective_maps_its_corners():
    source = torch.tensor([[[0.0, 0], [9, 0], [9, 9], [0, 9]]])
    target = torch.tensor([[[1.0, 2], [8, 1], [9, 9], [2, 7]]])
    matrix = perspectives(source, target)[0]
    ends = torch.cat([source[0], torch.ones(4, 1)], 1).double() @ matrix.t()
    torch.testing.assert_close(ends[:, :2] / ends[:, 2:], target[0].double())


def test_pictures_of_other_sizes_are_refused():
    augment = PairedAugment(size=48)
    with pytest.raises(ValueError, match='of one size'):
        augment(smooth(), smooth(size=32))
    with pytest.raises(ValueError, match='set size=32'):
        augment(smooth(size=32))


def test_a_bank_shows_the_same_few_views_again_and_again():
    augment = PairedAugment(num_views=2, size=32, mode='bank', bank_size=3)
    again = PairedAugment(num_views=2, size=32, mode='bank', bank_size=3)
    seen = set()
    for _ in range(12):
        views = augment.draw(32, 32)
        members = views.members.tolist()
        assert len(set(members)) == len(views) == 2
        seen |= set(members)
    assert seen == {0, 1, 2}
    again.draw(32, 32)
    assert augment.banks[32, 32].start.equal(again.banks[32, 32].start)
    assert not augment.banks[32, 32].end[0].equal(augment.banks[32, 32].end[1])


def test_a_bank_leaves_the_generator_as_many_numbers_as_it_found():
    augment = PairedAugment(num_views=2, size=32, mode='bank')
    torch.manual_seed(0)
    first = augment.draw(32, 32).members
    torch.manual_seed(0)
    assert augment.draw(32, 32).members.equal(first)


def test_wrong_modes_are_named():
    with pytest.raises(ValueError, match="mode is 'deck'"):
        PairedAugment(mode='deck')
    with pytest.raises(ValueError, match='bank_size is 2'):
        PairedAugment(mode='bank', bank_size=2)
