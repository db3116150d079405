"""Proposal network, proposals, cache, distillation, test: one after another.

Every step is the door that the documentation names, on four small scenes.
"""

import importlib.util
import json
from pathlib import Path

import pytest
from mmengine.config import Config

from mmclip import jobs
from mmclip.cli import main as mmclip
from mmclip.jobs import find_config

TOOLS = Path(jobs.__file__).parent / '.mim' / 'tools' / 'vild'
FEW = dict(num_images=4, size=64)


def small(name: str, work_dir: Path, iters: int) -> Config:
    """Return a shapes config at a scale of seconds."""
    cfg = Config.fromfile(find_config(name))
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.batch_size = 2
        loader.dataset.update(FEW)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.train_cfg.update(max_iters=iters, val_interval=iters)
    cfg.log_level = 'ERROR'
    cfg.work_dir = str(work_dir)
    return cfg


def tool(name: str, *arguments) -> int:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main([str(a) for a in arguments])


@pytest.mark.slow
def test_a_student_learns_from_the_cache_of_a_network_trained_before(tmp_path):
    rpn, student = tmp_path / 'rpn.py', tmp_path / 'student.py'
    cfg = small('rpn_r18_fpn_shapes', tmp_path / 'rpn', 2)
    cfg.val_dataloader.dataset.pipeline[-1].meta_keys += ('instances',)
    cfg.dump(rpn)
    assert mmclip(['train', str(rpn)]) == 0
    proposals, cache = tmp_path / 'proposals', tmp_path / 'cache'
    options = ('--max-num', 12, '--workers', 0)
    weights = tmp_path / 'rpn'
    assert tool('dump_proposals', rpn, weights, proposals, *options) == 0
    options = ('--clip', 'shapes-clip', '--mode', 'square')
    assert tool('extract_embeddings', rpn, proposals, cache, *options) == 0
    assert json.loads((cache / 'manifest.json').read_text())['num_images'] == 4

    cfg = small('vild-ensemble_r18_fpn_shapes', tmp_path / 'student', 6)
    cfg.model.teacher = None
    cfg.param_scheduler = []  # their warm-up is longer than this run
    cfg.randomness = dict(seed=0)
    annotations, *steps, pack = cfg.train_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset.pipeline = [
        annotations,
        dict(type='mmclip.LoadProposalEmbeddings', cache=str(cache)),
        *steps,
        dict(type='mmclip.ProjectProposals'),
        dict(pack, type='mmclip.PackOVDetInputs'),
    ]
    cfg.default_hooks.logger.interval = 1
    cfg.dump(student)
    assert mmclip(['train', str(student)]) == 0
    records = [
        json.loads(line)
        for path in (tmp_path / 'student').glob('*/vis_data/scalars.json')
        for line in path.read_text().splitlines()
    ]
    distilled = [r['loss_distill'] for r in records if 'loss_distill' in r]
    assert len(distilled) == 6
    assert 0 < distilled[-1] < 0.95 * distilled[0]
    assert any('coco/bbox_novel_mAP_50' in r for r in records)

    other = small('rpn_r18_fpn_shapes', tmp_path / 'other', 2)
    other.train_dataloader.dataset.seed = 9
    other.dump(tmp_path / 'other.py')
    arguments = (tmp_path / 'other.py', proposals, tmp_path / 'no', *options)
    assert tool('extract_embeddings', *arguments) == 1
    assert not list((tmp_path / 'no').glob('*.npy'))
