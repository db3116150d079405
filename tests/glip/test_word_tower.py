import pytest
import torch

from mmclip.glip.tower import VLDyHead
from mmclip.glip.word_tower import check_tower, read_on, remember, repeated

C, W = 16, 24


def tower(**options):
    torch.manual_seed(0)
    settings = dict(
        num_levels=2,
        num_dyhead_blocks=2,
        fusion=dict(embed_dim=32, num_heads=4),
        text_layer=dict(heads=2),
        dyconv=dict(num_groups=4),
    )
    return VLDyHead(C, C, W, **settings | options).eval()


def levels(count=1, seed=0):
    g = torch.manual_seed(seed)
    return [torch.randn(count, C, s, s, generator=g) for s in (6, 3)]


def words(count=1, length=5):
    return torch.randn(count, length, W, generator=torch.manual_seed(7))


@torch.no_grad()
def test_a_word_reads_none_behind_it():
    model = tower()
    kept = remember(model, levels())
    whole = read_on(model, kept, words())
    for stop in range(1, 5):
        part = read_on(model, kept, words()[:, :stop])
        torch.testing.assert_close(part, whole[:, :stop])


@torch.no_grad()
def test_a_word_reads_those_before_it_and_the_image():
    model = tower()
    kept = remember(model, levels())
    before = read_on(model, kept, words())
    other = words()
    other[:, 0] = -other[:, 0]
    moved = (read_on(model, kept, other) - before).abs().amax(dim=2)
    assert (moved > 1e-4).all()
    seen = read_on(model, remember(model, levels(seed=1)), words())
    assert ((seen - before).abs().amax(dim=2) > 1e-4).all()


@torch.no_grad()
def test_the_first_word_is_that_of_the_fused_tower_with_one_block():
    """One word alone, behind one block, is the same either way."""
    model = tower(num_dyhead_blocks=1)
    one = words(2, 1)
    language = dict(hidden=one, embedded=one, masks=torch.ones(2, 1))
    _, fused = model.fuse(levels(2), language)
    torch.testing.assert_close(
        read_on(model, remember(model, levels(2)), one), fused
    )


@torch.no_grad()
def test_images_are_repeated_one_behind_the_other():
    model = tower()
    kept = remember(model, levels(2))
    twice = read_on(model, repeated(kept, 2), words(4))
    rows = torch.tensor([0, 0, 1, 1])
    picked = [level[rows] for level in levels(2)]
    torch.testing.assert_close(
        twice, read_on(model, remember(model, picked), words(4))
    )


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (dict(early_fuse=False), 'a head without fusion'),
        (dict(fusion=dict(type='mmclip.TextToImageFusion')), 'TextToImage'),
        (
            dict(
                fusion=dict(
                    type='mmclip.SeparateBiAttentionFusion', num_levels=2
                )
            ),
            'Separate',
        ),
    ],
)
def test_a_tower_that_words_cannot_read_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        check_tower(tower(**options))
