import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest
from mmengine.config import Config

from mmclip import jobs
from mmclip.cli import main
from tests.end_to_end.tiny import tiny_config

CONFIG = 'vild_r18_fpn_shapes'


def options(job, *arguments):
    parser = ArgumentParser()
    getattr(jobs, f'add_{job}_options')(parser)
    return parser.parse_args([str(a) for a in arguments])


def test_a_config_is_found_by_path_and_by_name(tmp_path):
    own = tmp_path / 'own.py'
    own.write_text('a = 1\n')
    assert jobs.find_config(str(own)) == str(own)
    assert Path(jobs.find_config(CONFIG)).name == f'{CONFIG}.py'
    assert Path(jobs.find_config(f'configs/vild/{CONFIG}.py')).is_file()


def test_a_mistyped_config_names_its_neighbours():
    with pytest.raises(FileNotFoundError, match=CONFIG):
        jobs.find_config('vild_r18_fpn_shape')


def test_the_work_directory_is_named_after_the_config():
    assert jobs.load_config(options('train', CONFIG)).work_dir == (
        f'work_dirs/{CONFIG}'
    )
    args = options('train', CONFIG, '--work-dir', 'here')
    assert jobs.load_config(args).work_dir == 'here'


def test_settings_can_be_changed_from_outside():
    args = options('train', CONFIG, '--cfg-options', 'train_cfg.max_iters=3')
    assert jobs.load_config(args).train_cfg.max_iters == 3


def test_a_model_that_is_never_trained_needs_no_checkpoint(monkeypatch):
    seen = []
    monkeypatch.setattr(jobs, 'run', lambda cfg, job: seen.append(cfg))
    jobs.test(options('test', 'clip-dense_shapes-clip_shapes', 'none'))
    assert seen[0].load_from is None


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['train', CONFIG, '--amp'], 'needs an accelerator'),
        (['train', CONFIG, '--auto-scale-lr'], 'base_batch_size'),
        (['train', CONFIG, '--resume', 'none.pth'], 'none.pth'),
        (['train', 'no_such_config'], 'no config no_such_config'),
        (['test', CONFIG, 'none.pth'], 'none.pth does not exist'),
        (['test', CONFIG, __file__, '--out', 'x.json'], 'pickle'),
        (['test', CONFIG, __file__, '--tta'], 'tta_model'),
    ],
)
def test_a_mistake_is_told_before_any_work(
    arguments, said, capsys, monkeypatch
):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cpu')
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert said in error
    assert 'Traceback' not in error


def test_debug_shows_where_an_error_came_from():
    with pytest.raises(FileNotFoundError):
        main(['train', 'no_such_config', '--debug'])


def test_a_typo_in_a_type_of_mmdet_names_its_neighbours(tmp_path):
    cfg = tiny_config(tmp_path)
    cfg.model.rpn_head.type = 'mmdet.RPNHaed'
    config = tmp_path / 'typo.py'
    cfg.dump(config)
    with pytest.raises(ValueError, match='Did you mean .*mmdet.RPNHead'):
        jobs.train(options('train', config, '--work-dir', tmp_path))


def test_test_time_augmentation_wraps_the_model():
    cfg = Config(
        dict(
            model=dict(type='A'),
            tta_model=dict(type='B'),
            tta_pipeline=[1],
            test_dataloader=dict(dataset=dict(pipeline=[])),
        )
    )
    jobs.use_tta(cfg)
    assert cfg.model == dict(type='B', module=dict(type='A'))
    assert cfg.test_dataloader.dataset.pipeline == [1]


def test_predictions_are_dumped_beside_the_metric():
    cfg = Config(dict(test_evaluator=dict(type='A'), default_scope='mmdet'))
    jobs.dump_predictions(cfg, 'x.pkl')
    assert [e.type for e in cfg.test_evaluator] == [
        'A',
        'mmdet.DumpDetResults',
    ]


def test_the_learning_rate_scales_where_the_config_says_how(monkeypatch):
    seen = {}
    monkeypatch.setattr(jobs, 'run', lambda cfg, job: seen.update(cfg=cfg))
    name = 'vild-text_r50_fpn_64xb4-lsj-180k_lvis-v1'
    jobs.train(options('train', name, '--auto-scale-lr', '--resume'))
    assert seen['cfg'].auto_scale_lr.enable
    assert seen['cfg'].resume


@pytest.mark.slow
def test_train_test_and_show_dir_from_the_tools(tmp_path):
    """Also mmdet's own train.py, which must hear of mmclip first."""
    import mmdet

    tools = Path(jobs.__file__).parent / '.mim' / 'tools'
    config, work = tmp_path / 'tiny.py', tmp_path / 'work'
    cfg = tiny_config(work, max_iters=2)
    cfg.custom_imports = dict(imports=['mmclip'])
    cfg.dump(config)
    theirs = Path(mmdet.__file__).parent / '.mim/tools/train.py'
    run(theirs, config, '--work-dir', work)
    shown, out = tmp_path / 'shown', tmp_path / 'out.pkl'
    printed = run(
        tools / 'test.py',
        config,
        work / 'iter_2.pth',
        '--work-dir',
        tmp_path / 'test',
        '--show-dir',
        shown,
        '--out',
        out,
        '--cfg-options',
        'log_level=INFO',
    )
    assert 'bbox_novel' in printed
    assert len(list(shown.glob('*.png'))) == 4
    assert out.stat().st_size > 0


def run(script, *arguments) -> str:
    done = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_a_runner_that_the_config_names_is_taken(monkeypatch):
    from mmengine.registry import RUNNERS

    class OwnRunner:
        @classmethod
        def from_cfg(cls, cfg):
            return cls()

    monkeypatch.setitem(RUNNERS.module_dict, 'OwnRunner', OwnRunner)
    cfg = Config(dict(runner_type='OwnRunner'))
    assert jobs.run(cfg, lambda runner: type(runner)) is OwnRunner
