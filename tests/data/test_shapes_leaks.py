"""No training sees what it is tested on without having seen it.

Detectors and segmentors trained on base names box, mask and name no other
concept, and draw one only where a config says that it stands there
unlabelled; shapes-clip draws and reads no unseen one. What is drawn is
recorded at the brush, so that objects no list mentions count too. Each check
is shown to fail by a planted leak.
"""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmclip.data import shapes_captions, shapes_dataset
from mmclip.data.shapes import (
    COLOURS,
    SHAPES,
    TEXTURES,
    Canvas,
    Concept,
    concepts,
    parse,
)
from mmclip.data.shapes_dataset import ShapesDataset
from mmclip.data.shapes_export import export
from mmclip.jobs import config_folder
from mmclip.registry import DATASETS

ROOT = Path(__file__).parents[2]
SCENES = 200  # of each dataset; each shows three objects or so
NAME = re.compile(
    rf'\b(?:{"|".join(COLOURS)}) (?:(?:{"|".join(TEXTURES[1:])}) )?'
    rf'(?:{"|".join(SHAPES)})\b'
)


@pytest.fixture
def drawn(monkeypatch):
    """Gather every concept that a brush has painted, listed or not."""
    found, paint = set(), Canvas.paint

    def record(canvas, concept, *stamp):
        found.add(concept)
        return paint(canvas, concept, *stamp)

    monkeypatch.setattr(Canvas, 'paint', record)
    return found


def names_in(text: str) -> set[Concept]:
    """Every concept that a text names."""
    return {parse(name) for name in NAME.findall(text)}


def splits(found) -> set[str]:
    return {concept.split for concept in found}


# ---- detectors and segmentors ----


def shapes_datasets(node):
    """Every shapes dataset in a config, however it is wrapped."""
    if isinstance(node, dict):
        name = str(node.get('type')).removeprefix('mmclip.')
        kind = DATASETS.module_dict.get(name, object)
        if issubclass(kind, ShapesDataset):
            yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from shapes_datasets(child)


def training_sets() -> dict[str, dict]:
    """The shapes datasets that configs train on, and the defaults."""
    found = {
        name: dict(type=f'mmclip.{name}')
        for name in ('ShapesDataset', 'ShapesSegDataset')
    }
    folder = config_folder()
    DATASETS.import_from_location()
    for path in sorted(folder.rglob('*.py')):
        relative = path.relative_to(folder)
        if relative.parts[:2] in (
            ('_base_', 'models'),
            ('_base_', 'schedules'),
        ):
            continue
        loader = Config.fromfile(path).get('train_dataloader') or {}
        for k, dataset in enumerate(shapes_datasets(loader.get('dataset'))):
            found[f'{relative}-{k}'] = dict(dataset, pipeline=[])
    return found


SETS = training_sets()
CAPTIONED = [name for name in SETS if SETS[name].get('captioned')]
WORDED = [
    name for name in SETS if SETS[name].get('task') in ('vqa', 'caption')
]
LABELLED = [name for name in SETS if name not in CAPTIONED + WORDED]


def said(info: dict) -> str:
    """What is asked about a scene, if the answer tells how something looks."""
    absent = info.get('gt_answer') == 'no'
    return '' if absent else info.get('question', '')


def shown(config: dict) -> dict[str, set[str]]:
    """Which splits a training set's annotations are of, by their kind."""
    dataset = DATASETS.build(dict(config, num_images=SCENES))
    found = dict(boxes=set(), masks=set(), captions=set())
    for i in range(SCENES):
        info = dataset.get_data_info(i)
        names = dataset.metainfo['classes']
        for entry in info.get('instances', ()):
            name = names[entry['bbox_label']]
            found['boxes'].add(parse(name).split)
            if sum(entry['mask']['counts'][1::2]):
                found['masks'].add(parse(name).split)
        seen = info.get('drawn_seg_map', np.empty(0))
        for label in np.unique(seen[seen != 255]):
            if names[label] != getattr(dataset, 'background', None):
                found['masks'].add(parse(names[label]).split)
        texts = [*info.get('captions', ()), *info.get('gt_caption', ())]
        for text in (*texts, info.get('caption', ''), said(info)):
            found['captions'] |= splits(names_in(text))
    return found


def test_the_configs_on_the_shapes_world_are_among_those_checked():
    assert any('vild_r18_fpn_shapes' in name for name in SETS)
    assert any('_base_/datasets/shapes_detection' in name for name in SETS)


@pytest.mark.parametrize('name', LABELLED)
def test_training_is_told_of_base_concepts_alone(name, drawn):
    found = shown(SETS[name])
    unlabelled = SETS[name].get('unlabelled_of', ())
    assert splits(drawn) == {'base', *unlabelled}
    assert set(unlabelled) <= {'novel'}
    assert set.union(*found.values()) == {'base'}
    assert found['masks'] == {'base'}  # they were there to be looked at


@pytest.mark.parametrize('name', WORDED)
def test_questions_and_captions_show_base_concepts_alone(name, drawn):
    found = shown(SETS[name])
    assert splits(drawn) == found['captions'] == {'base'}
    assert not found['boxes'] | found['masks']


@pytest.mark.parametrize('task', ['vqa', 'caption'])
def test_words_about_a_novel_concept_are_seen(task, drawn):
    leaky = dict(type='mmclip.ShapesTaskDataset', task=task, pipeline=[])
    found = shown(dict(leaky, objects_of=('base', 'novel')))
    assert splits(drawn) == found['captions'] == {'base', 'novel'}


@pytest.mark.parametrize('name', CAPTIONED)
def test_captions_name_novel_concepts_and_label_none(name, drawn):
    found = shown(SETS[name])
    assert splits(drawn) == found['captions'] == {'base', 'novel'}
    assert not found['boxes'] | found['masks']


@pytest.mark.parametrize(
    'name', [name for name in LABELLED if not name.startswith('Shapes')]
)
def test_a_configs_training_names_are_base_names(name):
    assert class_splits(SETS[name]) == {'base'}


def class_splits(config: dict) -> set[str]:
    """Which splits the class names of a training set are of."""
    dataset = DATASETS.build(dict(config, num_images=1))
    names = set(dataset.metainfo['classes'])
    names.discard(getattr(dataset, 'background', None))
    return splits(map(parse, names))


def test_a_class_name_of_another_split_is_found():
    config = SETS['_base_/datasets/shapes_detection.py-0']
    leaking = dict(config, classes_of=('base', 'unseen'))
    assert class_splits(leaking) == {'base', 'unseen'}


@pytest.mark.parametrize('name', ['ShapesDataset', 'ShapesSegDataset'])
@pytest.mark.parametrize('leak', ['novel', 'unseen'])
def test_objects_of_another_split_are_found(name, leak, drawn):
    config = dict(SETS[name], objects_of=('base', leak))
    found = shown(config)
    assert splits(drawn) == {'base', leak}
    assert found['masks'] == {'base', leak}


def test_a_painted_object_that_no_list_mentions_is_found(drawn, monkeypatch):
    scene = Canvas.scene
    star = next(c for c in concepts('novel') if c.shape == 'star')

    def smuggle(canvas):
        canvas.peep(star, 20, clear=(64, 64, 1))
        return scene(canvas)

    monkeypatch.setattr(Canvas, 'scene', smuggle)
    found = shown(SETS['ShapesDataset'])
    assert set.union(*found.values()) == {'base'}
    assert splits(drawn) == {'base', 'novel'}


def test_a_foreign_label_box_or_caption_is_found(monkeypatch):
    instance = ShapesDataset._instance
    monkeypatch.setattr(
        ShapesDataset,
        '_instance',
        lambda self, entry: instance(self, entry) | dict(bbox_label=60),
    )
    monkeypatch.setattr(
        shapes_dataset, 'captions', lambda scene: ['a small red fish']
    )
    found = shown(SETS['ShapesDataset'])
    assert found['boxes'] == found['masks'] == {'novel'}
    assert found['captions'] == {parse('red fish').split}


def test_a_foreign_mask_is_found(monkeypatch):
    semantic_map = shapes_dataset.semantic_map

    def foreign(scene, names):
        seen = semantic_map(scene, names)
        seen[0, 0] = 80
        return seen

    monkeypatch.setattr(shapes_dataset, 'semantic_map', foreign)
    assert shown(SETS['ShapesSegDataset'])['masks'] == {'base', 'unseen'}


@pytest.mark.parametrize('view', ['coco', 'ade', 'odvg'])
@pytest.mark.parametrize('crowded', [False, True])
def test_written_training_data_draw_base_concepts_alone(
    view, crowded, drawn, tmp_path
):
    export(view, tmp_path, 40, crowded=crowded)
    assert splits(drawn) == {'base'}
    if view == 'odvg':  # a name that is never boxed would be a negative
        texts = [p.read_text() for p in tmp_path.glob('*.json*')]
        named = set().union(*map(names_in, texts))
        assert splits(named) == {'base'}


# ---- shapes-clip ----


@pytest.fixture(scope='module')
def tool():
    path = ROOT / 'tools/train_shapes_clip.py'
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def captions_of(tool, steps=3) -> list[str]:
    """What the training of shapes-clip reads in some steps."""
    told = []

    def tokenizer(texts):
        told.extend(texts)
        return torch.zeros(len(texts), 1, dtype=torch.long)

    args = tool.parse_args(['--portraits=128', '--scenes=48'])
    batches = tool.PairBatches(args, tokenizer)
    for step in range(steps):
        batches[step]
    return told


@pytest.fixture
def peeped(monkeypatch):
    """Count the neighbours that portraits let in at the border."""
    found, peep = [], Canvas.peep

    def record(canvas, concept, *args, **kwargs):
        found.append(concept)
        return peep(canvas, concept, *args, **kwargs)

    monkeypatch.setattr(Canvas, 'peep', record)
    return found


def test_shapes_clip_draws_and_reads_no_unseen_concept(tool, drawn, peeped):
    told = captions_of(tool)
    assert len(told) == 3 * 176
    assert splits(drawn) == splits(peeped) == {'base', 'novel'}
    named = set().union(*map(names_in, told))
    assert splits(named) == {'base', 'novel'}
    assert len(named) > 200


def test_a_clip_that_draws_everything_is_found(tool, drawn, monkeypatch):
    monkeypatch.setattr(tool, 'concepts', lambda *splits: concepts())
    told = captions_of(tool, 1)
    assert 'unseen' in splits(drawn)
    assert 'unseen' in splits(set().union(*map(names_in, told)))


def test_an_unseen_neighbour_of_a_portrait_is_found(tool, drawn, monkeypatch):
    peep, unseen = Canvas.peep, concepts('unseen')
    monkeypatch.setattr(
        Canvas,
        'peep',
        lambda self, concept, *a, **k: peep(self, unseen[0], *a, **k),
    )
    told = captions_of(tool, 1)
    assert 'unseen' in splits(drawn)
    assert 'unseen' not in splits(set().union(*map(names_in, told)))


def test_an_unseen_name_in_a_caption_is_found(tool, drawn, monkeypatch):
    name = concepts('unseen')[1].name
    monkeypatch.setattr(
        shapes_captions, '_say', lambda rng, said: f'a small {name}.'
    )
    told = captions_of(tool, 1)
    assert 'unseen' not in splits(drawn)
    assert 'unseen' in splits(set().union(*map(names_in, told)))


@pytest.mark.parametrize('view', ['pairs', 'webdataset'])
def test_written_pairs_draw_no_unseen_concept(view, drawn, tmp_path):
    export(view, tmp_path, 150, size=64)
    assert splits(drawn) == {'base', 'novel'}
