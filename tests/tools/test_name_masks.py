"""The recipe for one's own maps, trained for two steps, names true masks."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image
from safetensors.torch import save_file

from mmclip.jobs import find_config

RECIPE = 'lseg_efficientnet-lite0-dpt_own-coco'
NAMES = ['dog', 'bus', 'cat', 'cup', 'sheep']
TOOL = Path(__file__).parents[2] / 'tools/lseg/name_masks.py'


def load_tool():
    spec = importlib.util.spec_from_file_location('name_masks', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Two photographs a split, their maps, a table and random weights."""
    from timm import create_model

    root, random = tmp_path_factory.mktemp('own'), np.random.default_rng(0)
    for split in ('train2017', 'val2017'):
        (root / 'semseg' / split).mkdir(parents=True)
        (root / split).mkdir()
        for k in range(2):
            image = random.integers(0, 256, (60, 80, 3), np.uint8)
            labels = np.repeat([[0], [1], [2], [3], [4], [5]], 10, axis=0)
            labels = np.repeat(labels, 80, axis=1).astype(np.uint8)
            Image.fromarray(image).save(root / split / f'{k}.jpg')
            Image.fromarray(labels).save(root / 'semseg' / split / f'{k}.png')
    np.save(root / 'table.npy', random.normal(size=(5, 512)))
    (root / 'names.txt').write_text('\n'.join(NAMES))
    state = create_model('tf_efficientnet_lite0').state_dict()
    save_file(state, root / 'weights.safetensors')
    return root


@pytest.fixture(scope='module')
def config(folder):
    """Write the recipe with the folder's places, as a user would."""
    text = Path(find_config(RECIPE)).read_text()
    for old, new in {
        "'../_base_/": "'mmclip::_base_/",
        "data_root = 'data/own/'": f"data_root = '{folder}/'",
        "'coco-base-48'": "['dog', 'cat', 'sheep']",
        "'coco-novel-17'": "['bus', 'cup']",
        "'text_embeddings.npy'": "'table.npy'",
        "'annotations/instances_val2017.json'": "'names.txt'",
        "'efficientnet_lite0.safetensors'": "'weights.safetensors'",
        'max_iters = 300': 'max_iters = 2',
        'channels = 64': 'channels = 8',
        'scale=(384, 384)': 'scale=(128, 128)',
        'crop_size=(256, 256)': 'crop_size=(96, 96)',
        'batch_size=4': 'batch_size=2',
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    path = folder / 'own.py'
    path.write_text(text)
    return str(path)


@pytest.fixture(scope='module')
def trained(config, folder):
    from mmengine.runner import Runner

    cfg = Config.fromfile(config)
    cfg.work_dir, cfg.log_level = str(folder / 'work'), 'ERROR'
    with DefaultScope.overwrite_default_scope('mmseg'):
        Runner.from_cfg(cfg).train()
    return cfg.work_dir


def test_masks_of_both_groups_are_named_and_shuffled(config, trained, capsys):
    tool = load_tool()
    assert tool.main([config, trained, '--shuffles', '3', '--json']) == 0
    printed = capsys.readouterr().out
    rows = json.loads(printed[printed.index('[\n') :])
    counts = {(r['asked'], r['among']): r['count'] for r in rows}
    assert counts == {
        ('base', 'base'): 6,
        ('novel', 'novel'): 4,
        ('base', 'all'): 6,
        ('novel', 'all'): 4,
    }
    assert all(len(r['shuffled']) == 3 for r in rows)
    assert rows[1]['chance'] == 0.5


def test_the_background_may_be_ignored_instead_of_learnt(config, folder):
    from mmengine.runner import Runner

    cfg = Config.fromfile(config)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.background = None
    cfg.work_dir, cfg.log_level = str(folder / 'ignored'), 'ERROR'
    with DefaultScope.overwrite_default_scope('mmseg'):
        runner = Runner.from_cfg(cfg)
        runner.train()
    names = runner.model.decode_head.vocabulary.names
    assert names == ['dog', 'cat', 'sheep', 'bus', 'cup']


def test_the_table_speaks_of_masks(config, trained, capsys):
    assert load_tool().main([config, trained]) == 0
    assert capsys.readouterr().out.splitlines()[-5].startswith('masks')


def test_a_world_without_files_is_asked_too(tmp_path, capsys):
    """Any segmentor of ours with base and novel classes will do."""
    small = tmp_path / 'small.py'
    small.write_text(
        "_base_ = ['mmclip::lseg/lseg_shapes-clip-dpt_shapes.py']\n"
        'test_dataloader = dict(dataset=dict(num_images=6, size=64))\n'
    )
    tool = load_tool()
    cfg = Config.fromfile(str(small))
    with DefaultScope.overwrite_default_scope('mmseg'):
        from mmengine.registry import MODELS

        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        model.set_vocabulary(['red circle'])
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'a.pth')
    with DefaultScope.overwrite_default_scope('mmseg'):
        assert tool.main([str(small), str(tmp_path / 'a.pth')]) == 0
    assert capsys.readouterr().out.splitlines()[-5].startswith('masks')


def test_a_checkpoint_of_another_model_is_an_error(config, tmp_path, capsys):
    torch.save(dict(state_dict={'a': torch.ones(1)}), tmp_path / 'a.pth')
    assert load_tool().main([config, str(tmp_path / 'a.pth')]) == 1
    assert 'does not fit the model' in capsys.readouterr().err
