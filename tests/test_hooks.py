import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mmclip.hooks import (
    ReportHook,
    SkippedIterator,
    VocabularyHook,
    names_of,
    rng_state,
    set_rng_state,
)


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_restored_generators_draw_the_same():
    state = rng_state()
    first = draw()
    draw()
    set_rng_state(state)
    assert draw() == first


def test_the_state_is_one_that_a_narrow_loader_reads(tmp_path):
    torch.save(rng_state(), tmp_path / 'state.pth')
    state = torch.load(tmp_path / 'state.pth', weights_only=True)
    first = draw()
    set_rng_state(state)
    assert draw() == first


def test_states_return_after_the_batches_already_seen():
    state = rng_state()
    expected = draw()

    def batches():
        while True:
            yield draw()

    iterator = SkippedIterator(batches(), 3, state)
    seen = [next(iterator) for _ in range(5)]
    assert seen[3] == expected
    assert seen[4] != expected


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.vocabulary = SimpleNamespace(names=[])
        self.calls = 0

    def set_vocabulary(self, names):
        self.vocabulary.names = names
        self.calls += 1


def loader(*names):
    metainfo = dict(classes=names)
    return SimpleNamespace(dataset=SimpleNamespace(metainfo=metainfo))


def test_what_is_not_base_is_novel():
    metainfo = dict(
        classes=('cat', 'dog', 'yak'),
        base_classes=('cat', 'ox'),
        novel_classes=('dog',),
    )
    assert names_of(metainfo) == (['cat', 'dog', 'yak'], ['dog', 'yak'])
    assert names_of(dict(classes=('cat',))) == (['cat'], None)


def test_novel_names_are_appended_so_that_labels_stay():
    metainfo = dict(
        classes=('cat', 'ox'),
        base_classes=('cat', 'ox'),
        novel_classes=('dog', 'yak'),
    )
    names, novel = names_of(metainfo, with_novel=True)
    assert names == ['cat', 'ox', 'dog', 'yak']
    assert novel == ['dog', 'yak']


def test_a_model_that_asks_is_told_what_is_novel():
    class Told(Head):
        def set_novel(self, novel):
            self.novel = novel

    head = Told()
    train = loader('cat')
    train.dataset.metainfo.update(
        base_classes=('cat',), novel_classes=('dog',)
    )
    val = loader('cat', 'dog')
    val.dataset.metainfo.update(base_classes=('cat',), novel_classes=('dog',))
    runner = SimpleNamespace(
        model=head, train_dataloader=train, val_dataloader=val
    )
    hook = VocabularyHook(with_novel=True)
    for step in (hook.before_train, hook.before_val_epoch):
        step(runner)
        assert head.vocabulary.names == ['cat', 'dog']
        assert head.novel == ['dog']
    assert head.calls == 1  # the same names: nothing is encoded again
    VocabularyHook().before_train(runner)
    assert head.vocabulary.names == ['cat']
    assert head.novel == []


def test_the_vocabulary_follows_the_dataset_in_use():
    head = Head()
    runner = SimpleNamespace(
        model=nn.Sequential(nn.Identity(), head),
        train_dataloader=loader('cat'),
        val_dataloader=loader('cat', 'dog'),
        test_dataloader=loader('cow'),
    )
    hook = VocabularyHook()
    for step, expected in [
        (hook.before_train, ['cat']),
        (hook.before_val_epoch, ['cat', 'dog']),
        (hook.before_test_epoch, ['cow']),
    ]:
        step(runner)
        assert head.vocabulary.names == expected
    for batch in range(2):
        hook.before_train_iter(runner, batch)
    assert head.vocabulary.names == ['cat']
    assert head.calls == 4, 'names that did not change are not set again'


def test_the_report_names_figures_pictures_and_next_steps(tmp_path):
    said = []
    (tmp_path / 'last_checkpoint').write_text('iter_8.pth')
    runner = SimpleNamespace(
        work_dir=str(tmp_path),
        cfg=SimpleNamespace(filename='a.py'),
        logger=SimpleNamespace(info=said.append),
    )
    hook = ReportHook(
        metrics=['novel_mAP_50', 'base_mAP_50'],
        next_steps=['test.py {config} {checkpoint}'],
    )
    hook.after_val_epoch(
        runner, {'coco/bbox_base_mAP_50': 0.5, 'coco/bbox_novel_mAP_50': 0.25}
    )
    hook.after_train(runner)
    lines = said[0].splitlines()
    assert lines[1].split() == ['bbox_novel_mAP_50', '25.0']
    assert lines[2].split() == ['bbox_base_mAP_50', '50.0']
    assert str(tmp_path / 'pictures') in lines[3]
    assert lines[4] == 'test.py a.py iter_8.pth'


def test_a_report_leaves_percent_as_they_are(tmp_path):
    said = []
    runner = SimpleNamespace(
        work_dir=str(tmp_path),
        cfg=SimpleNamespace(filename=None),
        logger=SimpleNamespace(info=said.append),
    )
    hook = ReportHook(metrics=['novel_mIoU'], pictures=None, scale=1)
    hook.after_val_epoch(runner, {'novel_mIoU': 12.34})
    hook.after_train(runner)
    assert said[0].split()[1:] == ['novel_mIoU', '12.3']


@pytest.mark.parametrize('finished', [True, False])
def test_a_report_without_validation_still_ends_well(finished, tmp_path):
    said = []
    runner = SimpleNamespace(
        work_dir=str(tmp_path),
        cfg=SimpleNamespace(filename=None),
        logger=SimpleNamespace(info=said.append),
    )
    hook = ReportHook(metrics=['mAP'], pictures=None)
    if finished:
        hook.after_val_epoch(runner, {})
    hook.after_train(runner)
    assert said == ['done:']
