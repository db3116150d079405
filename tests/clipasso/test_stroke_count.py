import numpy as np
import pytest
import torch

from benchmarks import sketch_limits as limits
from mmclip.clipasso.stroke_count import (
    StrokeCountLoss,
    hard_concrete,
    open_probability,
)
from tests.clipasso.sketching import sketch, tiny_model
from tests.clipasso.test_sketcher import batch, build


def begun(**changes):
    counting = dict(type='mmclip.StrokeCountLoss', warmup=2, gating=3)
    model = build(losses=[*tiny_model()['losses'], counting | changes])
    model.begin(batch(1))
    return model, model.losses[-1]


def test_gates_are_open_as_often_as_the_formula_says():
    torch.manual_seed(0)
    for logit in (-2.0, 0.0, 3.0):
        gates = hard_concrete(torch.full((20000,), logit), torch.rand(20000))
        assert gates.min() >= 0
        assert gates.max() <= 1
        opened = (gates > 0).float().mean()
        expected = open_probability(torch.tensor(logit))
        torch.testing.assert_close(opened, expected, atol=0.01, rtol=0)
    assert hard_concrete(torch.tensor([-9.0, 9.0])).tolist() == [0, 1]


def test_gates_weigh_opacities_until_strokes_are_chosen():
    model, loss = begun()
    strokes = model.strokes()
    with torch.no_grad():
        loss.gate.zero_()
    torch.manual_seed(0)
    gated = loss.prepare(strokes).rgba[..., 3]
    assert gated.lt(1).any()
    gated.sum().backward()
    assert loss.gate.grad.abs().sum() > 0
    loss.steps.fill_(5)
    assert loss.prepare(strokes) is strokes


def test_phases_follow_each_other_and_closed_gates_drop_strokes():
    model, loss = begun()
    phases = []
    for step in range(5):
        phases.append(loss.phase)
        if step == 4:
            with torch.no_grad():
                loss.gate[0] = torch.tensor([1.0, -1.0, 1.0])
                loss.gate[1] = torch.tensor([-3.0, -1.0, -2.0])
        model.evaluated = None
        loss.after_step(model)
    assert phases == ['warmup'] * 2 + ['gating'] * 3
    assert model.settled
    opacity = model.strokes().rgba[..., 3]
    assert opacity.tolist() == [[1, 0, 1], [0, 1, 0]]  # one stays at least
    assert model.strokes.frozen.equal(opacity == 0)
    assert len(model.strokes().drawing(0, model.size).points) == 2


def test_the_price_rises_while_the_bound_is_kept_and_falls_else():
    model, loss = begun()
    for _ in range(2):
        loss.after_step(model)
    assert loss.price.tolist() == [loss.first_price] * 2
    model.evaluated = loss.bound + loss.span * torch.tensor([-0.5, 0.5])
    loss.after_step(model)
    assert loss.price[0] > loss.first_price > loss.price[1]


def test_only_priced_strokes_cost():
    model, loss = begun()
    scene = model.look(model.strokes())
    assert loss.measure(scene)['loss_count'].eq(0).all()
    for _ in range(2):
        loss.after_step(model)
    cost = loss.measure(scene)['loss_count']
    share = open_probability(loss.logits(2)).mean(1)
    torch.testing.assert_close(cost, loss.first_price * loss.span * share)


def test_new_images_start_with_open_gates():
    model, loss = begun()
    loss.steps.fill_(9)
    with torch.no_grad():
        loss.gate.fill_(-5)
    model.begin(batch(1))
    assert loss.phase == 'warmup'
    assert loss.logits(2).gt(1).all()


@pytest.mark.parametrize(
    ('argument', 'value'),
    [('abstraction', 1.0), ('warmup', 0), ('gating', 1.5)],
)
def test_wrong_numbers_are_named(argument, value):
    with pytest.raises(ValueError, match=f'{argument} is {value}'):
        StrokeCountLoss(**{argument: value})


def test_the_loop_keeps_a_sketch_of_chosen_strokes_and_resumes(tmp_path):
    images = limits.save_pictures(tmp_path, 'p', [limits.drawn(2, 0)])
    counting = dict(type='mmclip.StrokeCountLoss', warmup=4, gating=4)
    options = dict(
        model=dict(losses=[*tiny_model()['losses'], counting]),
        loop=dict(num_iters=14, eval_interval=2),
    )
    whole = sketch(tmp_path / 'a', images, **options)
    (record,) = whole.model.album.values()
    assert record.iteration >= 8  # none from before they were chosen
    again = sketch(
        tmp_path / 'b',
        images,
        resume=True,
        load_from=str(tmp_path / 'a/iter_5.pth'),
        **options,
    )
    (resumed,) = again.model.album.values()
    assert resumed.loss == record.loss
    assert resumed.drawing.points.equal(record.drawing.points)


@pytest.mark.slow
def test_simple_drawings_keep_fewer_strokes_and_abstract_ones_fewer_still(
    tmp_path,
):
    found = limits.count(tmp_path, runs=2, levels=(0.05, 0.3))
    kept = {k: np.mean(limits.first(v)) for k, v in found.items()}
    assert 3 <= kept[4, 0.05] <= 6
    assert 10 <= kept[12, 0.05] <= 16
    assert kept[4, 0.3] < kept[4, 0.05]
    assert kept[12, 0.3] < kept[12, 0.05]
