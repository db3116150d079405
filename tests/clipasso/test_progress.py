import pytest
import torch

from mmclip.clipasso.progress import SketchProgress, SketchRecord
from mmclip.clipasso.strokes import Strokes
from mmclip.clipasso.svg import Drawing


def strokes(value, count=2):
    return Strokes(
        torch.full((count, 1, 1, 4, 2), float(value)),
        torch.full((count, 1), 1.5),
        torch.zeros(count, 1, 4),
    )


def feed(progress, *rows):
    for k, row in enumerate(rows):
        progress.update(10 * k, torch.tensor(row), strokes(k, len(row)))


def test_each_sketch_keeps_its_own_best():
    progress = SketchProgress(2)
    feed(progress, [3.0, 1.0], [2.0, 2.0], [2.5, 0.5])
    assert progress.loss.tolist() == [2.0, 0.5]
    assert progress.iteration.tolist() == [10, 20]
    assert progress.strokes.points[:, 0, 0, 0, 0].tolist() == [1.0, 2.0]


def test_the_strokes_kept_do_not_change_with_those_given():
    progress = SketchProgress(1)
    given = strokes(4, 1)
    progress.update(0, torch.tensor([1.0]), given)
    given.points.fill_(9)
    assert progress.strokes.points.unique().tolist() == [4.0]


def test_two_evaluations_close_to_the_best_end_a_sketch():
    progress = SketchProgress(1, min_delta=0.1, patience=2)
    feed(progress, [1.0], [0.95], [1.5])
    assert progress.running.all()  # the worse one does not count
    feed(progress, [1.05])
    assert not progress.running.any()


def test_a_new_best_starts_the_count_again():
    progress = SketchProgress(1, min_delta=0.1, patience=2)
    feed(progress, [1.0], [0.95], [0.5], [0.55])
    assert progress.running.all()


def test_a_sketch_that_has_ended_keeps_its_best():
    progress = SketchProgress(2, min_delta=0.1, patience=1)
    feed(progress, [1.0, 1.0], [1.0, 0.5], [0.2, 0.2])
    assert progress.loss.tolist() == pytest.approx([1.0, 0.2])
    assert progress.running.tolist() == [False, True]


def test_a_loss_that_is_no_number_is_never_the_best():
    progress = SketchProgress(1)
    feed(progress, [torch.nan], [2.0], [torch.nan])
    assert progress.loss.tolist() == [2.0]


def test_it_goes_on_where_it_was():
    one, other = SketchProgress(2), SketchProgress(2)
    feed(one, [3.0, 1.0], [2.0, 2.0])
    other.load_state_dict(one.state_dict())
    for progress in (one, other):
        progress.update(20, torch.tensor([1.0, 3.0]), strokes(7))
    assert other.loss.equal(one.loss)
    assert other.strokes.points.equal(one.strokes.points)
    assert len(other.history) == 3


def test_the_best_of_some_seeds_is_found():
    progress = SketchProgress(4)
    feed(progress, [3.0, 1.0, 2.0, 0.5])
    assert progress.best_of(range(0, 2)) == 1
    assert progress.best_of(range(2, 4)) == 3


def test_a_record_survives_being_saved(tmp_path):
    record = SketchRecord(
        name='cat',
        path='in/cat.jpg',
        drawing=Drawing(
            torch.rand(2, 1, 4, 2), torch.rand(2), torch.rand(2, 4), (8, 9)
        ),
        seed=1000,
        loss=0.5,
        iteration=20,
        network='RN101 (openai)',
        fingerprint='abc',
        saliency='ViT-B-32 (openai)',
        losses={0: [[0, 1.0]], 1000: [[0, 0.5]]},
    )
    torch.save(record.state_dict(), tmp_path / 'r.pth')
    state = torch.load(tmp_path / 'r.pth', weights_only=True)
    again = SketchRecord.from_state(state)
    assert again.summary() == record.summary()
    assert again.drawing.size == (8, 9)
    assert again.drawing.points.equal(record.drawing.points)
    assert record.summary()['strokes'] == 2
    assert record.summary()['losses'] == {
        '0': [[0, 1.0]],
        '1000': [[0, 0.5]],
    }
