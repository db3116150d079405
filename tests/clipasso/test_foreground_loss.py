import cv2
import numpy as np
import pytest
import torch

from benchmarks import sketch_limits as limits
from mmclip.clipasso.features import CLIPFeatures
from mmclip.clipasso.foreground_loss import (
    ForegroundWeightedLoss,
    at_positions,
    soft_foreground,
    weighted_square,
)
from mmclip.clipasso.losses import CLIPGeometricLoss, CLIPSemanticLoss
from tests.clipasso.test_losses import features
from tests.clipasso.test_sketcher import SIDE, batch, build

LAYERS = dict(layer1=1.0, layer2=1.0)


def loss_of(**changes):
    return dict(type='mmclip.ForegroundWeightedLoss', layers=LAYERS) | changes


def begun(relevance, losses):
    """A sketcher of two images whose masks are given."""
    model = build(losses=losses)
    model.reserve(2)
    data = batch(2)
    for sample in data['data_samples']:
        sample.mask = relevance
    model.begin(data)
    return model


@pytest.mark.parametrize('level', [0.3, 1.0])
def test_where_all_is_relevant_it_is_the_loss_of_clipasso(level):
    plain = [
        dict(type='mmclip.CLIPGeometricLoss', layers=LAYERS),
        dict(type='mmclip.CLIPSemanticLoss'),
    ]
    uniform = torch.full((SIDE, SIDE), level)
    models = [
        begun(uniform, losses) for losses in ([loss_of(background=0.0)], plain)
    ]
    with torch.no_grad():
        for model in models:  # the same strokes, long enough to be seen
            model.strokes.points.mul_(0.5).add_(20)
    totals = []
    for model in models:
        torch.manual_seed(3)  # the views
        losses = model(mode='loss')
        views = sum(losses.values())
        totals.append(views)
    assert totals[1].min() > 0.1
    torch.testing.assert_close(*totals, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize('tokens', [False, True])
def test_uniform_weights_give_the_mean_over_all(tokens):
    sketch, target = (features(k).layers['layer2'] for k in (0, 1))
    if tokens:  # with a class token, as a ViT has
        sketch, target = (
            torch.cat([v.flatten(2), v.flatten(2)[..., :1]], 2).mT
            for v in (sketch, target)
        )
    where = at_positions(torch.ones(2, 1, 8, 8), sketch)
    found = weighted_square(sketch, target, where)
    wanted = (sketch - target).square().flatten(1).mean(dim=1)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)


def test_the_background_is_compared_with_paper_and_not_with_the_target():
    relevance = torch.zeros(2, 1, 4, 4)
    relevance[..., :2] = 1  # the left half
    sketch, target, paper = (
        CLIPFeatures(dict(layer2=torch.full((2, 3, 4, 4), v)))
        for v in (1.0, 3.0, 6.0)
    )
    target.layers['layer2'][..., 2:] = 99  # what lies behind
    paper.layers['layer2'][..., :2] = -99
    loss = ForegroundWeightedLoss(dict(layer2=1.0), background=2.0)
    found = loss(sketch, target, relevance, paper)
    assert found['loss_foreground_layer2'].tolist() == [4, 4]
    assert found['loss_paper_layer2'].tolist() == [50, 50]


def test_an_image_of_which_nothing_is_relevant_counts_as_all_relevant():
    model = begun(torch.zeros(SIDE, SIDE), [loss_of()])
    assert model.losses[0].relevance.eq(1).all()
    assert all(v.isfinite().all() for v in model(mode='loss').values())


def test_strokes_start_where_it_is_relevant():
    relevance = torch.zeros(SIDE, SIDE)
    relevance[:, : SIDE // 2] = 1
    model = begun(relevance, [loss_of()])
    border = SIDE // 2 + 1  # grown by a pixel
    assert model.strokes().points[:, :, 0, 0, 0].max() < border
    for share in model.start_maps:
        assert share[:, border:].sum() == 0
        assert share.sum() == pytest.approx(1)


def test_relevance_may_come_from_where_the_network_looks():
    model = build(losses=[loss_of(source='saliency')])
    image, mask = limits.cluttered(0)
    image = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    soft = soft_foreground(model.extractor.encoder, image, 20.0)
    assert soft.shape == (1, 96, 96)
    assert 0 <= soft.min() < 0.5 < soft.max() <= 1
    model.reserve(1)
    model.begin(batch(1, masks=True))
    assert not model.losses[0].relevance.eq(1).all()  # the mask is not asked


def drawn_batch(*scenes, class_name=None):
    """Pictures (uint8 arrays of one size) as a dataloader brings them."""
    data = batch(len(scenes))
    data['inputs'] = [torch.from_numpy(s).permute(2, 0, 1) for s in scenes]
    for sample in data['data_samples']:
        sample.set_metainfo(dict(class_name=class_name))
    return data


@pytest.mark.parametrize('source', ['auto', 'border'])
def test_without_masks_what_stands_out_is_relevant(source):
    model = build(losses=[loss_of(source=source)])
    model.reserve(2)
    scenes, masks = zip(*(limits.cluttered(k) for k in (210, 211)))
    model.begin(drawn_batch(*scenes))
    relevance = model.losses[0].relevance[:, 0].numpy() > 0
    for found, mask in zip(relevance, masks):
        assert (found & mask).sum() > 0.95 * mask.sum()
        assert found.sum() < 2.2 * mask.sum()  # a hole, and the outline
    starts = model.strokes().points[:, :, 0, 0].long()
    owners = model.owner.tolist()
    assert all(
        relevance[owner, y, x]
        for owner, each in zip(owners, starts.tolist())
        for x, y in each
    )


def test_a_picture_of_one_colour_is_relevant_as_a_whole():
    model = build(losses=[loss_of()], augment=None)
    model.reserve(2)
    blank = np.full((96, 96, 3), 200, np.uint8)
    model.begin(drawn_batch(blank, limits.cluttered(210)[0]))
    whole, part = model.losses[0].relevance.mean((1, 2, 3))
    assert whole == 1
    assert part < 0.5
    assert all(v.isfinite().all() for v in model(mode='loss').values())


def test_masks_are_grown_and_what_is_cut_out_is_not():
    half = torch.zeros(SIDE, SIDE)
    half[:, : SIDE // 2] = 1
    assert begun(half, [loss_of()]).losses[0].relevance.mean() > 0.5
    blank = np.full((SIDE, SIDE, 3), 230, np.uint8)
    blank[20:40, 10:40] = (30, 60, 160)
    model = build(losses=[loss_of(grow=0.1)])
    model.reserve(1)
    model.begin(drawn_batch(blank))
    assert model.losses[0].relevance.sum() <= 20 * 30


def two_objects():
    """A red circle beside a larger blue square, and where they are."""
    image = np.full((96, 96, 3), 225, np.uint8)
    cv2.circle(image, (24, 26), 16, (222, 38, 38), -1, cv2.LINE_AA)
    cv2.rectangle(image, (48, 46), (88, 86), (44, 74, 218), -1)
    return image, (26, 24), (66, 68)


@pytest.mark.parametrize('name', ['red circle', 'a blue square'])
def test_a_name_says_which_of_two_objects_is_relevant(name):
    model = build(losses=[loss_of(source='name')])
    model.reserve(1)
    image, circle, square = two_objects()
    model.begin(drawn_batch(image, class_name=name))
    relevance = model.losses[0].relevance[0, 0]
    assert relevance[circle] == ('circle' in name)
    assert relevance[square] == ('square' in name)


def test_without_a_name_or_words_a_name_cannot_be_looked_for():
    model = build(losses=[loss_of(source='name')])
    with pytest.raises(ValueError, match='class_names'):
        model.begin(batch(1))
    scales = dict(scale1=1.0, scale4=1.0)
    pixels = build(
        clip=dict(type='mmclip.PixelPyramid'),
        losses=[loss_of(source='name', layers=scales, semantic=0.0)],
        stroke_init=dict(type='mmclip.RandomStrokeInit'),
    )
    pixels.reserve(1)
    with pytest.raises(ValueError, match='reads no words: look through'):
        pixels.begin(drawn_batch(two_objects()[0], class_name='red circle'))


def test_wrong_sources_are_named():
    with pytest.raises(ValueError, match="source is 'depth'"):
        ForegroundWeightedLoss(source='depth')
    model = build(losses=[loss_of(source='mask')])
    with pytest.raises(ValueError, match='an image has none'):
        model.begin(batch(1))


def test_its_parts_are_those_of_the_two_losses_it_stands_for():
    loss = ForegroundWeightedLoss(semantic=0.2)
    assert loss.layers == CLIPGeometricLoss().layers
    assert loss.semantic.loss_weight == 0.2
    assert loss.pooled is CLIPSemanticLoss.pooled
    assert not ForegroundWeightedLoss(semantic=0.0).pooled


@pytest.mark.slow
def test_ink_stays_on_the_object_though_the_picture_is_cluttered(tmp_path):
    found = limits.background(tmp_path, runs=3, iters=100, clip=False)
    leak = {k: np.mean(limits.first(v)) for k, v in found.items()}
    assert leak['raw'] > 0.2  # there is something to keep out
    assert leak['weighted'] <= leak['raw'] / 3
    assert leak['weighted'] <= leak['cut off'] + 0.02
    assert leak['no mask given'] <= leak['raw'] / 3
    assert leak['no mask given'] <= leak['weighted'] + 0.02
    for name in ('weighted', 'no mask given'):
        strokes = [limits.ink(d).sum() for _, d, _ in found[name]]
        assert min(strokes) > 100  # and it is drawn
