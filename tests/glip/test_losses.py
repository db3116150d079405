import pytest
import torch
import torch.nn.functional as F

from mmclip.glip.losses import (
    InterImageRegionWordLoss,
    MaskedWordHead,
    soft_cross_entropy,
)
from mmclip.registry import MODELS
from tests.golden.ranks import run_ranks

LEVELS, LENGTH = ((2, 2), (1, 2)), 4  # 6 anchors an image


def batch(images=2, dtype=torch.float64):
    """Return inputs; image i has i + 1 boxes, the last image none."""
    make = torch.Generator().manual_seed(3)

    def random(*shape):
        return torch.randn(*shape, generator=make, dtype=dtype)

    counts = [*range(1, images), 0]
    assigned = torch.full((images, 6), -1)
    for i, count in enumerate(counts):
        for box in range(count):
            assigned[i, box : box + 3] = box
    tokens = torch.arange(LENGTH)
    return dict(
        features=[random(images, 5, h, w) for h, w in LEVELS],
        words=random(images, LENGTH, 7),
        masks=torch.stack([tokens < 4 - i % 2 for i in range(images)]),
        assigned=assigned,
        box_tokens=[
            torch.stack([tokens == 1 + box % 2 for box in range(count)])
            if count
            else torch.zeros(0, LENGTH, dtype=torch.bool)
            for count in counts
        ],
        box_classes=[torch.arange(count) % 2 + 5 for count in counts],
        token_classes=torch.tensor([[-1, 5, 6, -1]] * images),
    )


def rows_of(inputs, rows: slice):
    cut = {k: v[rows] for k, v in inputs.items() if k != 'features'}
    return cut | dict(features=[x[rows] for x in inputs['features']])


def loss_of(**kwargs):
    torch.manual_seed(0)
    return InterImageRegionWordLoss(5, 7, 3, **kwargs)


def by_hand(module, inputs):
    """Compute the loss with loops, one region and word at a time."""
    flat = torch.cat([x.flatten(2) for x in inputs['features']], 2).float()
    regions, words = [], []
    for i, own in enumerate(inputs['assigned']):
        for a in (own >= 0).nonzero().flatten().tolist():
            x = F.normalize(module.region_projection(flat[i, :, a]), dim=0)
            regions.append((i, int(own[a]), x / module.log_scale.exp()))
    for i, t in inputs['masks'].nonzero().tolist():
        x = module.word_projection(inputs['words'][i, t].float())
        words.append((i, t, F.normalize(x, dim=0)))

    def fits(region, word):
        (i, box, _), (j, token, _) = region, word
        if i == j:
            return bool(inputs['box_tokens'][i][box, token])
        named = inputs['token_classes'][j, token]
        return named >= 0 and bool(inputs['box_classes'][i][box] == named)

    logits = torch.stack(
        [torch.stack([r[2] @ w[2] for w in words]) for r in regions]
    )
    fit = torch.tensor([[fits(r, w) for w in words] for r in regions])
    total = 0
    for scores, target in ((logits, fit), (logits.t(), fit.t())):
        for row, own in zip(scores, target):
            if own.any():
                total = total - row.log_softmax(0)[own].mean()
    return total / 2 / len(regions)


def test_the_loss_is_that_of_every_pair_by_hand():
    module, inputs = loss_of(log_scale=-0.5), batch(3)
    torch.testing.assert_close(module(**inputs), by_hand(module, inputs))


def test_the_first_box_of_an_image_takes_part_but_for_the_quirk():
    inputs = batch(3)
    image, _ = loss_of().choose(inputs['assigned'])
    assert torch.bincount(image).tolist() == [3, 4]  # boxes overlap by two
    image, anchor = loss_of(official_quirks=True).choose(inputs['assigned'])
    assert image.tolist() == [1, 1, 1]
    assert anchor.tolist() == [1, 2, 3]


def test_one_image_has_negatives_in_its_own_caption():
    module, inputs = loss_of(), rows_of(batch(), slice(0, 1))
    loss = module(**inputs)
    assert loss > 0
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in module.parameters())


def test_images_without_boxes_give_zero_that_trains():
    module, inputs = loss_of(), rows_of(batch(), slice(1, 2))
    loss = module(**inputs)
    loss.backward()
    assert loss == 0
    assert all(p.grad is not None for p in module.parameters())


def test_phrases_are_never_positive_in_other_images():
    inputs = batch(3)
    inputs['box_classes'] = [c - 20 for c in inputs['box_classes']]
    inputs['token_classes'] = inputs['token_classes'] * 0 - 15
    module = loss_of()
    torch.testing.assert_close(module(**inputs), by_hand(module, inputs))


def test_only_so_many_regions_of_an_image_are_taken():
    module, inputs = loss_of(max_regions=2), batch(3)
    image, _ = module.choose(inputs['assigned'])
    assert torch.bincount(image).tolist() == [2, 2]


def test_another_number_of_anchors_is_told():
    inputs = batch() | dict(assigned=torch.zeros(2, 5, dtype=torch.long))
    with pytest.raises(ValueError, match=r'\(2, 5\).*\(2, 6\)'):
        loss_of()(**inputs)


def test_the_weight_scales_and_the_config_builds():
    config = dict(type='mmclip.InterImageRegionWordLoss', region_dim=5)
    module = MODELS.build(config | dict(word_dim=7, loss_weight=0.0))
    assert module(**batch()) == 0


def test_a_row_that_nothing_fits_counts_nothing():
    logits = torch.randn(2, 3)
    fit = torch.tensor([[True, False, True], [False] * 3])
    expected = -logits[0].log_softmax(0)[[0, 2]].mean()
    torch.testing.assert_close(soft_cross_entropy(logits, fit), expected)
    assert soft_cross_entropy(logits[:, :0], fit[:, :0]) == 0


def grads(module):
    return [p.grad.clone() for p in module.parameters()]


SPLITS = {'halves': (0, 2, 4), 'one has no box': (0, 3, 4)}


def steps_of(rank: int) -> dict:
    found = {}
    for name, bounds in SPLITS.items():
        for quirks in (False, True):
            module = loss_of(official_quirks=quirks)
            own = rows_of(batch(4), slice(*bounds[rank : rank + 2]))
            loss = module(**own)
            loss.backward()
            found[name, quirks] = loss.detach(), grads(module)
    nobody = rows_of(batch(4), slice(3, 4))
    assert loss_of()(**nobody) == 0
    return found


@pytest.fixture(scope='module')
def results():
    ours, theirs = run_ranks(steps_of, (), 2)
    return {key: [ours[key], theirs[key]] for key in ours}


@pytest.mark.dist
@pytest.mark.parametrize('split', SPLITS)
def test_two_ranks_have_loss_and_gradients_of_one_process(results, split):
    module = loss_of()
    loss = module(**batch(4))
    loss.backward()
    (ours, found), (theirs, others) = results[split, False]
    torch.testing.assert_close((ours + theirs) / 2, loss.detach())
    for whole, one, two in zip(grads(module), found, others):
        torch.testing.assert_close((one + two) / 2, whole)


@pytest.mark.dist
def test_the_quirk_loses_the_gradient_of_other_ranks(results):
    module = loss_of(official_quirks=True)
    loss = module(**batch(4))
    loss.backward()
    (ours, found), (theirs, others) = results['halves', True]
    torch.testing.assert_close((ours + theirs) / 2, loss.detach())
    mean = [(one + two) / 2 for one, two in zip(found, others)]
    for whole, seen in zip(grads(module)[1:], mean[1:]):
        assert (seen - whole).norm() > 0.1 * whole.norm()


def test_masked_words_are_scored_against_their_ids():
    torch.manual_seed(0)
    head = MaskedWordHead(6, 9)
    words = torch.randn(2, 5, 6)
    loss = head.loss(words, [[(1, 4), (3, 8)], [(0, 2)]])
    picked = torch.stack([words[0, 1], words[0, 3], words[1, 0]])
    expected = F.cross_entropy(head(picked), torch.tensor([4, 8, 2]))
    torch.testing.assert_close(loss, expected)


def test_no_masked_word_gives_zero_that_trains():
    head = MaskedWordHead(6, 9)
    loss = head.loss(torch.randn(1, 5, 6), [[]])
    loss.backward()
    assert loss == 0
    assert head.decoder.weight.grad is not None


@pytest.mark.parametrize('masked', [(5, 0), (0, 9), (-1, 0)])
def test_a_token_of_another_tokenizer_is_told(masked):
    with pytest.raises(IndexError, match='MaskWords needs the tokenizer'):
        MaskedWordHead(6, 9).loss(torch.randn(1, 5, 6), [[masked]])


def test_the_heads_names_are_berts():
    names = set(MaskedWordHead(4, 5).state_dict())
    assert names == {
        'transform.dense.weight',
        'transform.dense.bias',
        'transform.LayerNorm.weight',
        'transform.LayerNorm.bias',
        'decoder.weight',
        'bias',
    }
