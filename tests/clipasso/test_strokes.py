import pytest
import torch

from mmclip.clipasso.strokes import StrokeParameters
from mmclip.clipasso.svg import Drawing


def drawing(value=1.0, strokes=2, segments=1):
    return Drawing(
        torch.full((strokes, segments, 4, 2), value),
        torch.full((strokes,), 2.0),
        torch.tensor([0.2, 0.4, 0.6, 0.8]).expand(strokes, 4),
        (8, 8),
    )


@pytest.mark.parametrize('count', [1, 3])
def test_a_smaller_batch_uses_a_part_of_the_same_parameters(count):
    strokes = StrokeParameters(2, capacity=3)
    held = strokes.points
    strokes.start([drawing(k) for k in range(count)])
    now = strokes()
    assert strokes.points is held
    assert now.points.shape == (count, 2, 1, 4, 2)
    assert now.points[-1].unique().tolist() == [count - 1]
    assert now.rgba[0, 0].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8])


@pytest.mark.parametrize('kind', ['points', 'width', 'color', 'opacity'])
def test_only_what_is_optimised_gets_a_gradient(kind):
    strokes = StrokeParameters(2, optimise=[kind])
    strokes.start([drawing()])
    sum(v.sum() for v in strokes()).backward()
    got = [n for n, p in strokes.named_parameters() if p.grad is not None]
    assert got == [kind]


def test_frozen_strokes_get_no_gradient():
    strokes = StrokeParameters(2)
    strokes.start([drawing()], torch.tensor([[True, False]]))
    strokes().points.sum().backward()
    grad = strokes.points.grad
    assert grad[0, 0].abs().sum() == 0
    assert grad[0, 1].eq(1).all()


def test_values_return_to_their_range_after_a_step():
    strokes = StrokeParameters(1, optimise=['opacity', 'width'])
    strokes.start([drawing(strokes=1)])
    with torch.no_grad():
        strokes.opacity.fill_(1.3)
        strokes.width.fill_(-2)
    strokes.keep_in_range()
    assert strokes().rgba[0, 0, 3] == 1
    assert strokes().width.item() == 0


def test_a_checkpoint_makes_its_own_room():
    source = StrokeParameters(4, 2, capacity=6)
    target = StrokeParameters(2)
    target.load_state_dict(source.state_dict())
    assert target.capacity == 6
    assert target.shape == (4, 2)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match='num_strokes is 0'):
        StrokeParameters(0)
    with pytest.raises(ValueError, match='num_segments is 1.5'):
        StrokeParameters(1, 1.5)
    with pytest.raises(ValueError, match='width is 0'):
        StrokeParameters(1, width=0)
    with pytest.raises(ValueError, match='optimise is'):
        StrokeParameters(1, optimise=['colour'])
    with pytest.raises(ValueError, match='optimise is'):
        StrokeParameters(1, optimise=[])
    strokes = StrokeParameters(2)
    with pytest.raises(ValueError, match='room for 1'):
        strokes.start([drawing(), drawing()])
    with pytest.raises(ValueError, match=r'expected \(2, 1\)'):
        strokes.start([drawing(strokes=3)])
