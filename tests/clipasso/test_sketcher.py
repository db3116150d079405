import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement
from torch import nn

from mmclip.clipasso.progress import SketchProgress
from mmclip.clipasso.scene import SketchLoss
from mmclip.clipasso.stroke_init import SaliencyStrokeInit
from mmclip.clipasso.svg import Drawing, write_svg
from mmclip.registry import MODELS
from tests.clipasso.sketching import SIDE, tiny_model


@pytest.fixture(autouse=True)
def mmclip_scope():
    with DefaultScope.overwrite_default_scope('mmclip'):
        yield


def build(**changes):
    torch.manual_seed(0)
    model = MODELS.build(tiny_model(**changes))
    model.init_weights()
    return model


def batch(count=1, masks=False):
    generator = torch.Generator().manual_seed(2)
    samples = []
    for k in range(count):
        sample = BaseDataElement(
            metainfo=dict(img_path=f'{k}.png', name=f'{k}', class_name=None)
        )
        if masks:
            sample.mask = torch.ones(SIDE, SIDE)
        samples.append(sample)
    images = [
        torch.randint(0, 256, (3, SIDE, SIDE), generator=generator).byte()
        for _ in range(count)
    ]
    return dict(inputs=images, data_samples=samples)


def begun(count=1, **changes):
    model = build(**changes)
    model.reserve(count)
    model.begin(batch(count))
    return model


@pytest.mark.parametrize('count', [1, 2])
@pytest.mark.parametrize('seeds', [1, 2])
def test_every_seed_of_every_image_is_drawn_and_measured(count, seeds):
    model = begun(count, num_seeds=seeds)
    drawn = model(mode='tensor')
    assert drawn.shape == (count * seeds, 3, SIDE, SIDE)
    assert drawn.min() < 0.2  # black ink
    assert drawn.max() <= 1  # on white
    losses = model(mode='loss')
    assert set(losses) == {
        'loss_geometric_layer1',
        'loss_geometric_layer2',
        'loss_semantic',
    }
    assert all(v.shape == (count * seeds,) for v in losses.values())
    assert model.owner.tolist() == sorted(list(range(count)) * seeds)


def test_the_plain_view_of_a_step_is_the_evaluation():
    model = begun(2)
    model(mode='loss')
    free = model.evaluated
    torch.testing.assert_close(free, model.evaluate())


@pytest.mark.parametrize(
    'augment',
    [None, dict(type='mmclip.PairedAugment', num_views=0, size=SIDE)],
)
def test_without_views_the_plain_one_is_all(augment):
    model = begun(2, augment=augment)
    losses = model(mode='loss')
    torch.testing.assert_close(sum(losses.values()), model.evaluate())


def test_views_without_a_plain_one_have_no_free_evaluation():
    augment = dict(
        type='mmclip.PairedAugment', num_views=2, size=SIDE, plain=False
    )
    model = begun(2, augment=augment)
    assert model(mode='loss')['loss_semantic'].shape == (4,)
    assert model.evaluated is None
    assert model.evaluate().shape == (4,)


def test_each_sketch_is_compared_with_its_own_image():
    both = begun(2, augment=None).evaluate()
    model = build(augment=None)
    model.reserve(2)
    data = batch(2)
    data['inputs'] = data['inputs'][::-1]
    model.begin(data)
    torch.testing.assert_close(model.evaluate(), both.roll(2))


def test_gradients_do_not_depend_on_the_company():
    def gradient(count):
        model = begun(count)
        torch.manual_seed(5)
        sum(v.sum() for v in model(mode='loss').values()).backward()
        return model.strokes.points.grad[:2]

    torch.testing.assert_close(gradient(2), gradient(1), atol=1e-4, rtol=1e-3)


def test_masks_reach_the_losses():
    @MODELS.register_module(force=True)
    class MaskedInk(SketchLoss):
        begun = 0

        def begin(self, sketcher):
            self.begun += sketcher.masks is not None

        def measure(self, scene):
            ink = 1 - scene.sketch.mean(1)
            mask = scene.masks[scene.owner]
            return dict(loss_ink=(ink * mask).flatten(1).mean(1))

    losses = [
        dict(type='mmclip.MaskedInk'),
        dict(type='mmclip.CLIPSemanticLoss'),
    ]
    model = build(losses=losses)
    model.begin(batch(1, masks=True))
    assert model.losses[0].begun == 1
    assert model(mode='loss')['loss_ink'].shape == (2,)
    model.begin(batch(1))
    assert model.masks is None


def test_a_loss_may_look_at_other_strokes_through_the_same_views():
    @MODELS.register_module(force=True)
    class FirstStroke(SketchLoss):
        pooled = True

        def measure(self, scene):
            again = scene.draw_again(scene.strokes)
            self.same = again.sketch_features.pooled.equal(
                scene.sketch_features.pooled
            )
            one = scene.strokes.points[:, :1]
            rest = (v[:, :1] for v in scene.strokes[1:])
            first = scene.draw_again(type(scene.strokes)(one, *rest))
            return dict(loss_first=first.sketch_features.pooled.norm(dim=1))

    model = begun(losses=[dict(type='mmclip.FirstStroke')])
    model(mode='loss')['loss_first'].sum().backward()
    assert model.losses[0].same
    assert model.strokes.points.grad[:, 0].abs().sum() > 0
    assert model.strokes.points.grad[:, 1:].abs().sum() == 0


def test_uniform_images_start_anywhere():
    model = build()
    data = batch(1)
    data['inputs'] = [torch.full((3, SIDE, SIDE), 255).byte()]
    model.begin(data)
    share = model.start_maps[0]
    assert share.max() == pytest.approx(1 / SIDE**2)
    assert model(mode='loss')['loss_semantic'].isfinite().all()


def test_strokes_beyond_the_canvas_cost_what_blank_paper_does():
    model = begun()
    with torch.no_grad():
        model.strokes.points.add_(1e4)
    losses = model(mode='loss')
    total = sum(v.sum() for v in losses.values())
    total.backward()
    assert total.isfinite()
    assert model.strokes.points.grad.abs().sum() == 0
    assert model(mode='tensor').eq(1).all()


def test_checkpoints_hold_no_frozen_network():
    model = begun(saliency_clip=dict(model='shapes-clip'))
    state = model.state_dict()
    assert all(key.startswith('strokes.') for key in state)
    other = build(saliency_clip=dict(model='shapes-clip'))
    missing, unexpected = other.load_state_dict(state)
    assert not missing
    assert not unexpected
    assert other.strokes.points.equal(model.strokes.points)
    assert other.saliency_name == 'shapes-clip (knows drawn shapes only)'


def test_frozen_strokes_of_an_svg_stay(tmp_path):
    svg = tmp_path / 'a.svg'
    given = torch.rand(1, 1, 4, 2) * SIDE
    black = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    write_svg(svg, Drawing(given, torch.ones(1), black, (SIDE, SIDE)))
    model = begun(
        stroke_init=dict(
            type='mmclip.SVGStrokeInit',
            svg=str(svg),
            freeze=True,
            source='activation',
        )
    )
    assert isinstance(model.stroke_init, SaliencyStrokeInit)
    sum(v.sum() for v in model(mode='loss').values()).backward()
    grad = model.strokes.points.grad
    assert grad[:, 0].abs().sum() == 0
    assert grad[:, 1:].abs().sum() > 0


def test_what_is_asked_too_early_or_of_a_stranger_is_an_error():
    model = build()
    with pytest.raises(RuntimeError, match=r'call begin\(data\) first'):
        model(mode='tensor')
    with pytest.raises(KeyError, match=r"'0\.png' has no sketch"):
        model(None, batch()['data_samples'], mode='predict')
    model.begin(batch())
    with pytest.raises(RuntimeError, match='not loss, tensor, predict'):
        model(mode='draw')


def test_numbers_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match='num_strokes is 0'):
        build(num_strokes=0)
    with pytest.raises(ValueError, match='num_seeds is 0'):
        build(num_seeds=0)


def test_random_weights_are_called_so(tiny_clip):
    config = dict(
        embed_dim=24,
        vision_cfg=dict(
            image_size=64, width=8, layers=(1, 1, 1, 1), head_width=16
        ),
        text_cfg=dict(width=32, heads=2, layers=2),
    )
    model = build(
        clip=dict(model=config),
        stroke_init=dict(type='mmclip.SaliencyStrokeInit'),
    )
    assert 'random weights' in model.extractor.name
    assert isinstance(model.extractor, nn.Module)
    model.begin(batch())
    assert model(mode='loss')['loss_semantic'].isfinite().all()


def test_what_was_best_before_sketches_settled_is_forgotten():
    progress = SketchProgress(1)
    strokes = begun(1, num_seeds=1).strokes()
    progress.update(0, torch.tensor([0.1]), strokes, settled=False)
    for step in (1, 2, 3):  # none ends early
        progress.update(step, torch.tensor([0.1]), strokes, settled=False)
    assert progress.running.all()
    assert progress.update(4, torch.tensor([0.5]), strokes).all()
    assert progress.loss.item() == 0.5
    assert int(progress.iteration) == 4
