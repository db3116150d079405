import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS

from mmclip.data.shapes_questions import ANSWERS
from mmclip.data.shapes_tasks import TASKS, ShapesTaskDataset
from mmclip.jobs import config_folder

RECIPE = config_folder() / '_base_/datasets/shapes_tasks.py'


def dataset(task, **options):
    return ShapesTaskDataset(
        num_images=4, size=64, task=task, classes_of=('base',), **options
    )


@pytest.mark.parametrize('task', TASKS)
def test_a_sample_has_what_its_task_wants(task):
    info = dataset(task)[0]
    wanted = {
        'detection': {'text', 'instances', 'custom_entities'},
        'grounding': {'text', 'instances', 'phrases'},
        'vqa': {'question', 'gt_answer', 'question_type'},
        'caption': {'gt_caption'},
    }
    every = set().union(*wanted.values())
    assert info['task'] == task
    assert info['img'].shape == (64, 64, 3)
    assert set(info) & every == wanted[task]


def test_the_same_scene_is_drawn_for_every_task():
    first, *others = (dataset(task, seed=3)[1] for task in TASKS)
    assert all(np.array_equal(first['img'], x['img']) for x in others)


def test_labels_of_grounding_number_the_phrases():
    for info in map(dataset('grounding').get_data_info, range(4)):
        labels = [one['bbox_label'] for one in info['instances']]
        assert labels == list(info['phrases'])
        for phrase in info['phrases'].values():
            ((a, b),) = phrase['tokens_positive']
            assert info['text'][a:b] == phrase['phrase']


def test_labels_can_be_asked_for_by_wrappers():
    assert dataset('vqa').get_cat_ids(0) == []
    found = dataset('detection')
    labels = [one['bbox_label'] for one in found[0]['instances']]
    assert found.get_cat_ids(0) == labels


def test_an_unknown_task_is_an_error():
    with pytest.raises(ValueError, match="no task 'segment': choose"):
        dataset('segment')


def test_the_recipes_words_are_all_that_is_ever_said():
    cfg = Config.fromfile(RECIPE)
    assert tuple(cfg.answers) == ANSWERS
    for part in cfg.train_dataloader.dataset.datasets:
        drawn = DATASETS.build(dict(part, pipeline=(), num_images=20, size=64))
        for info in map(drawn.get_data_info, range(20)):
            said = [*info.get('gt_caption', ())]
            said += [info.get('question', ''), *info.get('text', ())]
            if isinstance(info.get('text'), str):
                said = [info['text']]
            assert set(' '.join(said).replace(',', '').split()) <= {
                *cfg.words,
                *(f'{word}?' for word in cfg.words),
            }
