"""The training and the testing job: options, checks, runner.

``tools/train.py``, ``tools/test.py`` and the command line are doors to it.
"""

import os
from argparse import ArgumentParser, Namespace
from difflib import get_close_matches
from pathlib import Path


def add_settings_option(parser: ArgumentParser) -> None:
    """Add OpenMMLab's option that changes settings of a config."""
    from mmengine.config import DictAction

    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='change settings, such as train_dataloader.batch_size=4',
    )


def add_common_options(parser: ArgumentParser) -> None:
    """Add the options of OpenMMLab's tools that both jobs have."""
    parser.add_argument(
        'config', help='config file, or a name as in `mmclip models`'
    )
    parser.add_argument(
        '--work-dir',
        help='where logs, weights and pictures '
        'go; default work_dirs/<config name>',
    )
    add_settings_option(parser)
    parser.add_argument(
        '--launcher',
        default='none',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        help='what started the processes (default: none, one process)',
    )
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help='set by the launcher',
    )


def add_train_options(parser: ArgumentParser) -> None:
    """Add the options of the training job."""
    add_common_options(parser)
    parser.add_argument(
        '--amp',
        action='store_true',
        help='automatic mixed precision (on an accelerator)',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate to the real batch size',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='FILE',
        help='go on from FILE, or from the newest checkpoint '
        'of the work directory',
    )


def add_test_options(parser: ArgumentParser) -> None:
    """Add the options of the testing job."""
    add_common_options(parser)
    parser.add_argument(
        'checkpoint',
        help=".pth or .safetensors file; 'none' for a model that is "
        'complete without one',
    )
    parser.add_argument(
        '--out',
        metavar='FILE.pkl',
        help='dump the predictions for offline evaluation',
    )
    parser.add_argument(
        '--show', action='store_true', help='show the results in windows'
    )
    parser.add_argument(
        '--show-dir', metavar='DIR', help='draw every result into DIR'
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds that a window stays',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation (tta_model of the config)',
    )


def train(args: Namespace) -> dict:
    """Train as the options say; return the runner's last metrics."""
    cfg = load_config(args)
    if args.amp:
        use_amp(cfg)
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                f'--auto-scale-lr needs auto_scale_lr.base_batch_size in '
                f'{args.config}: the batch size its learning rate is for'
            )
        cfg.auto_scale_lr.enable = True
    if args.resume:
        cfg.resume = True
        cfg.load_from = (
            None
            if args.resume == 'auto'
            else existing(args.resume, 'the checkpoint to resume from')
        )
    return run(cfg, lambda runner: runner.train())


def test(args: Namespace) -> dict:
    """Test a checkpoint as the options say; return the metrics."""
    cfg = load_config(args)
    if args.checkpoint != 'none':
        cfg.load_from = existing(args.checkpoint, 'the checkpoint')
    if args.out:
        dump_predictions(cfg, args.out)
    if args.show_dir:
        cfg.setdefault('custom_hooks', []).append(
            dict(
                type='mmclip.PicturesHook',
                count=10**9,
                out_dir=os.path.abspath(args.show_dir),
            )
        )
    if args.show:
        cfg.default_hooks.visualization.update(
            draw=True, show=True, wait_time=args.wait_time
        )
    if args.tta:
        use_tta(cfg)
    return run(cfg, lambda runner: runner.test())


def run(cfg, job):
    """Build the runner and do the job, with help for mistyped names."""
    from mmengine.dist import barrier
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    from mmclip.registry import with_nearest_names

    built = False
    try:  # runner_type='FlexibleRunner' is what mmengine's strategies need
        own = 'runner_type' in cfg
        runner = RUNNERS.build(cfg) if own else Runner.from_cfg(cfg)
        built = True
        done = job(runner)
        barrier()  # who leaves first would pull the connection from others
        return done
    except (KeyError, AttributeError, TypeError, AssertionError) as error:
        message = str(error.args[0]) if error.args else ''
        if ' is not in the ' in message:
            raise ValueError(with_nearest_names(message)) from error
        if built:
            raise
        raise ValueError(
            f'the config cannot be built: {type(error).__name__}, {message}; '
            '`mmclip doctor CONFIG` may say more'
        ) from error
    finally:
        leave_process_group()


def leave_process_group() -> None:
    """Close the connections, whose threads else outlive the interpreter.

    A wrapped model that garbage still holds keeps them open: gloo's threads
    then end the process with "terminate called without an active exception".
    """
    import gc

    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        gc.collect()
        dist.destroy_process_group()
        gc.collect()


def load_config(args: Namespace):
    """Read the config and apply the options that both jobs have."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args)
    cfg.launcher = args.launcher
    cfg.work_dir = (
        args.work_dir
        or cfg.get('work_dir')
        or str(Path('work_dirs') / Path(args.config).stem)
    )
    return cfg


def read_config(args: Namespace):
    """Return the config that ``args`` name, with the changes asked for."""
    from mmengine.config import Config

    cfg = Config.fromfile(find_config(args.config))
    cfg.merge_from_dict(args.cfg_options or {})
    return cfg


def config_folder() -> Path:
    """Return the folder of the configs that come with the package."""
    return Path(__file__).parent / '.mim' / 'configs'


def find_config(name: str) -> str:
    """Return the file of a config given by path or by bare name.

    Raises:
        FileNotFoundError: There is none; the message has the nearest names.
    """
    if Path(name).is_file():
        return name
    known = {
        path.stem: path
        for path in config_folder().rglob('*.py')
        if '_base_' not in path.parts
    }
    stem = Path(name).stem
    if stem in known:
        return str(known[stem])
    near = get_close_matches(stem, known, n=3, cutoff=0.4)
    raise FileNotFoundError(
        f'no config {name}: it is neither a file nor a name that comes with '
        f'mmclip; near to it: {", ".join(near) or "none"}. `mmclip models` '
        'lists all'
    )


def existing(path: str, what: str) -> str:
    """Return ``path`` if it is a file, before any work is begun."""
    if '://' not in path and not Path(path).is_file():
        raise FileNotFoundError(f'{what} {path} does not exist')
    return path


def use_amp(cfg) -> None:
    """Wrap the optimizer for mixed precision.

    Raises:
        ValueError: There is no accelerator; mmengine's wrapper needs one.
    """
    from mmengine.device import get_device

    if get_device() == 'cpu':
        raise ValueError(
            '--amp needs an accelerator and this machine has '
            'none: leave it out to train in float32'
        )
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def dump_predictions(cfg, out: str) -> None:
    """Add the metric that writes the predictions to ``out``."""
    if not out.endswith(('.pkl', '.pickle')):
        raise ValueError(
            f'--out writes a pickle file, got {out}: name it *.pkl'
        )
    kind = (
        'mmdet.DumpDetResults'
        if cfg.get('default_scope') == 'mmdet'
        else 'DumpResults'
    )
    evaluators = cfg.test_evaluator
    if not isinstance(evaluators, (list, tuple)):
        evaluators = [evaluators]
    cfg.test_evaluator = [*evaluators, dict(type=kind, out_file_path=out)]


def use_tta(cfg) -> None:
    """Put the model and the pipeline of test-time augmentation in place."""
    if 'tta_model' not in cfg or 'tta_pipeline' not in cfg:
        raise ValueError(
            '--tta needs tta_model and tta_pipeline in the '
            'config, and it has none'
        )
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(**cfg.tta_model, module=cfg.model)
