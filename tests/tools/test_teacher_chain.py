"""From a checkpoint to a cache, by the tools alone."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmclip import jobs
from mmclip.vild.teacher_cache import TeacherCache

TOOLS = Path(jobs.__file__).parent / '.mim/tools/vild'
CONFIG = 'rpn_r18_fpn_shapes'
FEW = [
    '--cfg-options',
    'val_dataloader.dataset.num_images=4',
    'val_dataloader.dataset.size=64',
]


def tool(name):
    spec = spec_from_file_location(name, TOOLS / f'{name}.py')
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(Config.fromfile(jobs.find_config(CONFIG)).model)
    path = tmp_path_factory.mktemp('rpn') / 'rpn.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return str(path)


def dump(checkpoint, out, *options):
    return tool('dump_proposals')(
        [CONFIG, checkpoint, str(out), '--split', 'val', '--workers', '0']
        + [*options, *FEW]
    )


def extract(proposals, out, *options):
    return tool('extract_embeddings')(
        [CONFIG, str(proposals), str(out), '--split', 'val']
        + ['--clip', 'shapes-clip', '--workers', '0', *options, *FEW]
    )


def test_the_tools_lead_from_a_checkpoint_to_a_cache(
    checkpoint, tmp_path, capfd
):
    assert dump(checkpoint, tmp_path / 'boxes', '--max-num', '20') == 0
    printed = capfd.readouterr()
    recalls = json.loads(printed.out.splitlines()[-1])
    assert {'proposal/AR@100', 'proposal/novel_AR@1000'} <= set(recalls)
    assert '4 of 4 images' in printed.err
    assert extract(tmp_path / 'boxes', tmp_path / 'cache') == 0
    boxes, embeddings = TeacherCache(tmp_path / 'cache').of(3)
    assert 0 < len(boxes) <= 20
    assert embeddings.shape == (len(boxes), 128)
    assert dump(checkpoint, tmp_path / 'boxes', '--max-num', '20') == 0
    assert '1 shards are whole, 0 to do' in capfd.readouterr().err


def test_errors_are_one_line_and_status_1(checkpoint, tmp_path, capsys):
    assert extract(tmp_path / 'absent', tmp_path / 'cache') == 1
    assert 'error: there is no' in capsys.readouterr().err
    assert dump(checkpoint, tmp_path / 'x', '--split', 'holdout') == 1
    assert "error: split 'holdout' is absent" in capsys.readouterr().err
    status = extract(tmp_path, tmp_path / 'cache', '--clip', 'ViT-B-32')
    assert status == 1
    assert 'random weights, which teach nothing' in capsys.readouterr().err
