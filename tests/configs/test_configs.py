"""Every config builds, says where its types live, and can be inherited."""

import copy
import inspect
from pathlib import Path

import pytest
from mmengine import registry
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import DefaultScope

from mmclip.jobs import config_folder

FOLDER = config_folder()
CONFIGS = sorted(
    path
    for path in FOLDER.rglob('*.py')
    if '_base_' not in path.relative_to(FOLDER).parts
)
# names that mmengine, mmcv and the inferencers of mmdet and mmseg look for as
# they stand
BARE = {
    'Adam',
    'AdamW',
    'SGD',
    'SyncBN',
    'BN',
    'Pretrained',
    'LoadImageFromFile',
}
BARE |= {'LoadAnnotations', 'RoIAlign'}
BUILT: set[str] = set()  # models that several configs share are built once


def typed_dicts(node):
    """Every dict with a type, in lists and dicts alike."""
    if isinstance(node, dict):
        if 'type' in node:
            yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from typed_dicts(child)


def own_text_of(path: Path) -> dict:
    """What the file itself writes, without its bases."""
    scope = {}
    text = path.read_text().replace('{{', "'").replace('}}', "'")
    exec(compile(text, path, 'exec'), scope)  # our own configs
    return {k: v for k, v in scope.items() if not k.startswith('__')}


@pytest.mark.parametrize('path', sorted(FOLDER.rglob('*.py')), ids=str)
def test_every_type_that_a_config_writes_carries_its_prefix(path):
    types = {d['type'] for d in typed_dicts(own_text_of(path))}
    bare = {t for t in types if '.' not in t} - BARE
    assert not bare, f'{path.name}: write the prefix of {bare}'


def test_the_metafiles_list_every_config():
    index = load(str(FOLDER.parent / 'model-index.yml'))['Import']
    listed = {
        model['Config']
        for file in index
        for model in load(str(FOLDER.parent / file))['Models']
    }
    assert listed == {f'configs/{p.relative_to(FOLDER)}' for p in CONFIGS}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_a_config_is_short(path):
    assert len(path.read_text().splitlines()) <= 60


@pytest.fixture
def unfilled(monkeypatch):
    """Leave large weights as they are: drawing them takes the time."""
    for draw in ('normal_', 'uniform_', 'trunc_normal_', 'xavier_uniform_'):
        monkeypatch.setattr(f'torch.nn.init.{draw}', lambda x, *a, **k: x)
    for draw in ('kaiming_uniform_', 'kaiming_normal_'):
        monkeypatch.setattr(f'torch.nn.init.{draw}', lambda x, *a, **k: x)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
@pytest.mark.parametrize('inherited', [False, True])
def test_the_model_and_all_parts_of_the_run_build(
    path, inherited, tmp_path, unfilled
):
    cfg = read(path, inherited, tmp_path)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        build_all(cfg)


def read(path, inherited, tmp_path):
    if not inherited:
        return Config.fromfile(path)
    heir = tmp_path / 'heir.py'
    heir.write_text(f"_base_ = ['mmclip::{path.relative_to(FOLDER)}']\n")
    return Config.fromfile(heir)


def innermost(dataset):
    """Yield the data sets within what repeats, balances or joins them."""
    within = dataset.get('datasets') or [dataset.get('dataset')]
    if within == [None]:
        yield dataset
        return
    assert registry.DATASETS.get(dataset['type'])
    for each in within:
        yield from innermost(each)


def steps_of(dataset) -> list:
    return getattr(getattr(dataset, 'pipeline', None), 'transforms', [])


def is_general(step) -> bool:
    """Tell mmcv's loader of labels, which knows no task."""
    return type(step).__module__ == 'mmcv.transforms.loading' and (
        type(step).__name__ == 'LoadAnnotations'
    )


def build_all(cfg):
    if (model_text := str(cfg.model)) not in BUILT:
        model = registry.MODELS.build(copy.deepcopy(cfg.model))
        assert sum(p.numel() for p in model.parameters()) > 0
        BUILT.add(model_text)
    loaders = map(cfg.get, ('train_dataloader', 'val_dataloader'))
    for loader in filter(None, loaders):  # one that is only tested has one
        collate = dict(loader.get('collate_fn', dict(type='pseudo_collate')))
        function = registry.FUNCTIONS.get(collate.pop('type'))
        inspect.signature(function).bind([], **collate)
        for dataset in innermost(copy.deepcopy(loader.dataset)):
            built = registry.DATASETS.build(dict(dataset, lazy_init=True))
            assert not any(is_general(step) for step in steps_of(built))
            assert built.metainfo is not None
    registry.VISUALIZERS.build(dict(cfg.visualizer, name='of a run'))
    for hook in [*cfg.custom_hooks, *cfg.default_hooks.values()]:
        registry.HOOKS.build(copy.deepcopy(hook))
    for kind in (cfg.val_evaluator, cfg.test_evaluator):
        for metric in typed_dicts(kind):
            assert registry.METRICS.get(metric['type'])
    for schedule in cfg.param_scheduler or []:
        assert registry.PARAM_SCHEDULERS.get(schedule['type'])
