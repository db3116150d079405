"""The training runs of a comparison: what they are, doing and keeping them.

Every method and seed is one training run in a process of its own, in a folder
that is kept; a finished run is skipped, an interrupted one continues.

Symbols: S seeds; figures are fractions, of AP50 of boxes or of mIoU, NaN for a
group that the test scenes do not show.
"""

import hashlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mmclip.jobs import find_config

GROUPS = ('base', 'novel', 'unseen')
COLUMNS = {
    **{group: group for group in GROUPS},
    'harmonic': 'harmonic mean of base and novel',
}
SAVING = [  # what a kill may cost; one file stays whole if another is cut off
    'default_hooks.checkpoint.interval=100',
    'default_hooks.checkpoint.max_keep_ckpts=2',
]
ALL = '(base,novel,unseen)'
UNTRAINED = 'none'
BOXES, PIXELS = 'AP50 of boxes', 'mIoU of pixels'
LOGGED = {  # how a metric names a group's figure, and its unit
    BOXES: ('coco/bbox_{}_mAP_50', 1),
    PIXELS: ('{}_mIoU', 0.01),
}


class Method(NamedTuple):
    """Say how a method is called in the tables and how it is trained."""

    label: str
    config: str
    options: tuple[str, ...] = ()
    measure: str = BOXES
    weights_of: str | None = None  # that method's, or UNTRAINED; None: own
    variant: bool = False  # run where it is asked for alone


METHODS = {
    'vild-text': Method('ViLD-text', 'vild-text_r18_fpn_shapes'),
    'vild': Method('ViLD', 'vild_r18_fpn_shapes'),
    'vild-ensemble': Method('ViLD-ensemble', 'vild-ensemble_r18_fpn_shapes'),
    'fvlm': Method('F-VLM, scenes enlarged to 256 px', 'fvlm_r18_fpn_shapes'),
    'supervised': Method(
        'upper bound: ViLD-text with boxes of all names',
        'vild-text_r18_fpn_shapes',
        (
            f'train_dataloader.dataset.objects_of={ALL}',
            f'train_dataloader.dataset.classes_of={ALL}',
        ),
    ),
    'lseg': Method('LSeg', 'lseg_shapes-clip-dpt_shapes', measure=PIXELS),
    'lseg-dense': Method(
        "LSeg with a frozen CLIP's dense scores in testing",
        'lseg_shapes-clip-dpt-dense_shapes',
        measure=PIXELS,
        weights_of='lseg',
    ),
    'clip-dense': Method(
        'shapes-clip alone, nothing trained (value path, as MaskCLIP)',
        'clip-dense_shapes-clip_shapes',
        measure=PIXELS,
        weights_of=UNTRAINED,
        variant=True,
    ),
    'lseg-prompts': Method(
        'LSeg, a template drawn for each name at each step',
        'lseg_shapes-clip-dpt-prompts_shapes',
        measure=PIXELS,
        variant=True,
    ),
    'lseg-captions': Method(
        'LSeg with captions of base and novel names beside the masks',
        'lseg_shapes-clip-dpt-captions_shapes',
        measure=PIXELS,
        variant=True,
    ),
    'lseg-captions-dense': Method(
        "the same with a frozen CLIP's dense scores in testing",
        'lseg_shapes-clip-dpt-dense_shapes',
        measure=PIXELS,
        weights_of='lseg-captions',
        variant=True,
    ),
    'lseg-tuned': Method(
        "LSeg, shapes-clip's image tower trained along at a tenth of the rate",
        'lseg_shapes-clip-dpt_shapes',
        (
            'model.backbone.frozen=False',
            'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=0.1',
        ),
        measure=PIXELS,
        variant=True,
    ),
    'lseg-scratch': Method(
        'LSeg, the same ResNet from random weights in place of CLIP',
        'lseg_shapes-clip-dpt_shapes',
        (
            'model.backbone._delete_=True',
            'model.backbone.type=mmseg.ResNet',
            'model.backbone.depth=18',
            'model.backbone.base_channels=16',
        ),
        measure=PIXELS,
        variant=True,
    ),
}


@dataclass(frozen=True)
class Run:
    """Name one training: a method, a seed, how long and where.

    Args:
        method: Key of METHODS.
        seed: Of first weights and of the order of scenes.
        iters: Training iterations; None for the config's number.
        images: Test scenes; None for the config's number.
        out: Folder of all runs.
    """

    method: str
    seed: int
    iters: int | None
    images: int | None
    out: Path

    @property
    def folder(self) -> Path:
        """Return the work directory of this run."""
        return self.out / 'runs' / f'{self.method}_seed{self.seed}'

    @property
    def settings(self) -> dict:
        """Return all that a kept result depends on, but for the code.

        The scenes of training and of testing are the same for all seeds.
        """
        method = METHODS[self.method]
        config = read_config(method.config)
        iters = self.iters or config['train_cfg']['max_iters']
        images = (
            self.images or config['val_dataloader']['dataset']['num_images']
        )
        trained_on = 'train_dataloader.dataset.'
        if 'datasets' in config['train_dataloader']['dataset']:
            trained_on += 'datasets.0.'
        options = [
            f'randomness.seed={self.seed}',
            f'train_cfg.max_iters={iters}',
            f'train_cfg.val_interval={iters}',
            f'{trained_on}seed=0',
            *method.options,
        ]
        for loader in ('val', 'test'):
            options += [
                f'{loader}_dataloader.dataset.seed=1',
                f'{loader}_dataloader.dataset.num_images={images}',
            ]
        found = dict(
            config=method.config,
            digest=digest(config),
            options=options,
            iters=iters,
            images=images,
        )
        if self.trained is not None:
            found['weights'] = self.trained.settings
        return found

    @property
    def trained(self) -> 'Run | None':
        """Return the run of another method whose weights are tested."""
        source = METHODS[self.method].weights_of
        if source in (None, UNTRAINED):
            return None
        return replace(self, method=source)

    def command(self, job: str, *arguments: str) -> list[str]:
        """Return the command line of the job 'train' or 'test'."""
        settings = self.settings
        mmclip = [sys.executable, '-m', 'mmclip.cli']
        options = [*settings['options'], *SAVING]
        return [
            *[*mmclip, job, settings['config'], *arguments],
            *['--work-dir', str(self.folder)],
            *['--cfg-options', *options],
        ]


@cache
def read_config(name: str) -> dict:
    """Return a config as plain containers."""
    from mmengine.config import Config

    return Config.fromfile(find_config(name)).to_dict()


def digest(config: dict) -> str:
    """Return a few letters that change with the config."""
    text = json.dumps(config, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def check_settings(run: Run) -> None:
    """Refuse to mix what is asked for with a run of other settings.

    Raises:
        ValueError: The run's folder was begun with other settings.
    """
    path = run.folder / 'settings.json'
    if not path.exists():
        return
    kept, wanted = json.loads(path.read_text()), run.settings
    if kept == wanted:
        return
    changed = set(kept['options']) ^ set(wanted['options'])
    raise ValueError(
        f'{run.folder} was begun with other settings than now asked for; '
        f'they differ in {sorted(changed) or "the config file"}: choose '
        'another --out, or remove that folder'
    )


def measure_all(runs: Sequence[Run]) -> dict[str, list[dict]]:
    """Do the runs that are not done yet, showing how far they are.

    Returns:
        For each method the figures of its S seeds, as ``measure`` has them.
    """
    todo = [run for run in runs if kept_figures(run) is None]
    lengths = [run.settings['iters'] for run in todo]
    begin = time.perf_counter()
    with progress_bar() as bar:
        bar.console.print(f'{len(todo)} of {len(runs)} runs to do')
        task = bar.add_task('', total=sum(lengths))
        for k, run in enumerate(todo):
            bar.update(task, description=run.folder.name)
            done = sum(lengths[:k])
            figures = measure(
                run, lambda n, d=done: bar.update(task, completed=d + n)
            )
            bar.update(task, completed=done + lengths[k])
            minutes = (time.perf_counter() - begin) / 60
            left = minutes / (k + 1) * (len(todo) - k - 1)
            bar.console.print(
                f'{k + 1}/{len(todo)} {run.folder.name}: {in_words(figures)}; '
                f'{minutes:.1f} minutes, about {left:.0f} left',
                soft_wrap=True,
            )
    found = {}
    for run in runs:
        found.setdefault(run.method, []).append(kept_figures(run))
    return found


def progress_bar() -> Progress:
    """Return a bar over the iterations of all runs."""
    return Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        TextColumn('{task.completed:.0f}/{task.total:.0f}'),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        speed_estimate_period=1800,  # evaluations stand still for long
    )


def in_words(figures: dict[str, float]) -> str:
    """Write figures in one line."""
    return ', '.join(f'{key} {percent(figures[key])}' for key in COLUMNS)


def measure(run: Run, show: Callable[[int], object]) -> dict[str, float]:
    """Train, or go on training; keep and return the figures.

    Args:
        run: What to do.
        show: Is told now and then how many iterations are done.

    Returns:
        AP50 of each group and ``harmonic``, of base and novel.

    Raises:
        RuntimeError: The process failed, or printed no figures.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    save_json(run.folder / 'settings.json', run.settings)
    if METHODS[run.method].weights_of is not None:
        if logged_figures(run.folder) is None:
            execute(run.command('test', weights(run)), run.folder, show)
    elif logged_figures(run.folder) is None:
        execute(run.command('train', '--resume'), run.folder, show)
    if logged_figures(run.folder) is None:
        # cut off between its last step and its figures: nothing is left to
        # train, and mmengine then validates no more
        checkpoint = (run.folder / 'last_checkpoint').read_text().strip()
        execute(run.command('test', checkpoint), run.folder, show)
    figures = logged_figures(run.folder)
    if figures is None:
        raise RuntimeError(
            f'{run.folder} has no figures though its run ended well: see '
            'log.txt there'
        )
    save_json(run.folder / 'result.json', dict(run.settings, figures=figures))
    return kept_figures(run)


def weights(run: Run) -> str:
    """Return the checkpoint of a run that trains nothing itself.

    The other method's run is done first where that is not done yet.
    """
    if run.trained is None:
        return UNTRAINED
    if kept_figures(run.trained) is None:
        measure(run.trained, lambda _: None)
    return (run.trained.folder / 'last_checkpoint').read_text().strip()


def kept_figures(run: Run) -> dict[str, float] | None:
    """Return the figures of a finished run, None for another."""
    path = run.folder / 'result.json'
    if not path.exists():
        return None
    figures = {
        key: math.nan if value is None else value
        for key, value in json.loads(path.read_text())['figures'].items()
    }
    harmonic = harmonic_mean(figures['base'], figures['novel'])
    return dict(figures, harmonic=harmonic)


def logged_figures(folder: Path) -> dict[str, float | None] | None:
    """Read each group's figure from the logs; None for one without truth.

    Returns None altogether where no evaluation has ended yet.
    """
    found = None
    for pattern in ('*/vis_data/scalars.json', '*/*.json'):  # train, test
        for record in records(folder, pattern):
            found = group_figures(record) or found
    return found


def group_figures(record: dict) -> dict[str, float | None] | None:
    """Return each group's figure of a logged evaluation, None of another."""
    for name, unit in LOGGED.values():
        if name.format(GROUPS[0]) in record:
            values = {g: record[name.format(g)] for g in GROUPS}
            return {
                g: unit * v if v is not None and v >= 0 else None
                for g, v in values.items()
            }
    return None


def steps_done(folder: Path) -> int:
    """Return the newest iteration in the logs."""
    found = records(folder, '*/vis_data/scalars.json')
    return max((r['iter'] for r in found if 'iter' in r), default=0)


def records(folder: Path, pattern: str) -> Iterator[dict]:
    """Yield the lines of JSON logs, the oldest run's first."""
    for path in sorted(folder.glob(pattern)):
        for line in path.read_text().splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue  # cut off by a kill, or being written


def execute(
    command: list[str], folder: Path, show: Callable[[int], object]
) -> None:
    """Run a command to its end, its output added to log.txt.

    Raises:
        RuntimeError: It failed; the message has its last lines.
    """
    log = folder / 'log.txt'
    with log.open('ab') as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
        try:
            while process.poll() is None:
                show(steps_done(folder))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(2)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        last = '\n'.join(log.read_text(errors='replace').splitlines()[-15:])
        raise RuntimeError(
            f'{" ".join(command)}\nended with {process.returncode}; its last '
            f'lines in {log}:\n{last}'
        )


def save_json(path: Path, content: dict) -> None:
    """Write a JSON file, whole or not at all."""
    save_text(path, json.dumps(content, indent=1) + '\n')


def save_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.{os.getpid()}')
    partial.write_text(text, encoding='utf-8')
    os.replace(partial, path)


def harmonic_mean(first: float, second: float) -> float:
    """Return 2ab / (a + b); 0 where both are 0, NaN where one is NaN."""
    total = first + second
    return 2 * first * second / total if total else 0.0


def percent(value: float, sign: str = '') -> str:
    """Write a fraction in points, NaN as a dash."""
    return '–' if math.isnan(value) else f'{100 * value:{sign}.1f}'
