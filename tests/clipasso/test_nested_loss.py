import pytest
import torch

from benchmarks import sketch_limits as limits
from mmclip.clipasso.nested_loss import NestedStrokeLoss
from mmclip.clipasso.strokes import Strokes, first_strokes
from tests.clipasso.sketching import tiny_model
from tests.clipasso.test_sketcher import batch, build


def nested(**changes):
    losses = tiny_model()['losses']
    return [*losses, dict(type='mmclip.NestedStrokeLoss') | changes]


def begun(count=1, **changes):
    model = build(losses=nested(**changes))
    model.reserve(count)
    model.begin(batch(count))
    return model


def test_the_first_strokes_are_those_that_are_seen():
    strokes = Strokes(
        torch.rand(2, 3, 1, 4, 2), torch.ones(2, 3), torch.ones(2, 3, 4)
    )
    shown = first_strokes(strokes, torch.tensor([1, 3]))
    assert shown.rgba[..., 3].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert shown.points is strokes.points


def test_short_beginnings_are_drawn_more_often():
    torch.manual_seed(0)
    counts = NestedStrokeLoss(shortest=2).draw_counts(4000, 5)
    shares = torch.bincount(counts, minlength=5) / 4000
    wanted = torch.tensor([0, 0, 1 / 2, 1 / 3, 1 / 4])
    torch.testing.assert_close(
        shares, wanted / wanted.sum(), atol=0.03, rtol=0
    )
    assert NestedStrokeLoss().draw_counts(3, 1).tolist() == [1, 1, 1]


@pytest.mark.parametrize('count', [1, 2])
@pytest.mark.parametrize('augmented', [False, True])
def test_it_is_the_loss_of_the_first_strokes(count, augmented):
    model = begun(count, augmented=augmented, loss_weight=2.0)
    loss = model.losses[-1]
    loss.draw_counts = lambda sketches, _: torch.full((sketches,), 2)
    torch.manual_seed(1)
    losses = model(mode='loss')
    assert losses['loss_nested'].shape == (2 * count,)
    wanted = model.evaluate(
        first_strokes(model.strokes(), torch.full((2 * count,), 2))
    )
    if not augmented:
        torch.testing.assert_close(losses['loss_nested'], 2 * wanted)
    losses['loss_nested'].sum().backward()
    gradient = model.strokes.points.grad.flatten(2).abs().sum(2)
    assert gradient[:, :2].gt(0).all()
    assert gradient[:, 2:].eq(0).all()


def test_it_has_no_say_in_which_sketch_is_best():
    plain, both = build(), build(losses=nested())
    for model in (plain, both):
        model.begin(batch(1))
    assert plain.evaluate().tolist() == both.evaluate().tolist()


def test_strokes_are_put_in_order_and_the_parameters_stay(monkeypatch):
    model = begun(arrange_at=(2,))
    monkeypatch.setattr(
        'mmclip.clipasso.nested_loss.order_sketch', lambda *_: [2, 0, 1]
    )
    loss, held = model.losses[-1], model.strokes.points
    before, values = model.strokes().points, held.clone()
    assert not model.settled
    loss.after_step(model)
    assert model.strokes().points.equal(before)
    loss.after_step(model)
    assert model.settled
    assert model.strokes.points is held
    assert held.equal(values)
    assert model.strokes().points.equal(before[:, [2, 0, 1]])
    model.begin(batch(1))
    assert model.strokes.order.tolist() == [[0, 1, 2]] * 2
    assert int(loss.steps) == 0


def test_it_cannot_reorder_strokes_that_are_being_counted():
    counting = dict(type='mmclip.StrokeCountLoss')
    model = build(losses=[*nested(), counting])
    with pytest.raises(ValueError, match=r'arrange_at=\(\)'):
        model.begin(batch(1))
    build(losses=[*nested(arrange_at=()), counting]).begin(batch(1))
    with pytest.raises(ValueError, match='shortest is 0'):
        NestedStrokeLoss(shortest=0)


@pytest.mark.slow
def test_every_beginning_is_a_sketch_and_the_whole_no_worse(tmp_path):
    found = limits.order(tmp_path, runs=4, iters=240)
    auc = {k: sum(limits.first(v)) / 4 for k, v in found.items()}
    assert auc['nested'] > auc['greedy order'] > auc['index order'] + 0.05
    final = {k: sum(v[1] for v in values) for k, values in found.items()}
    assert final['nested'] <= 1.05 * final['index order']
