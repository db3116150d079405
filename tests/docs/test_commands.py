"""The commands and programs of README and get-started run as they are written.

Each at its smallest scale, in a folder that holds what a clone holds. That
``mmclip`` and ``pip`` themselves are there is what ``.ci/run`` shows.
"""

import os
import re
import runpy
import shlex
import sys

import pytest

from mmclip.cli import main
from tests.test_docs import ROOT, blocks

PAGES = [ROOT / 'README.md', ROOT / 'docs/en/get_started.md']
WORK = 'work_dirs/vild_r18_fpn_shapes'
IN_CI = 'in CI'
TABLE = {  # what each command is given beside what is written
    'pip install -e ".[lite]"': IN_CI,
    'pip install -e ".[lite,test]"': IN_CI,
    'pytest': IN_CI,
    'mmclip doctor': '',
    'mmclip doctor vild_r18_fpn_shapes': '',
    'mmclip check-data vild_r18_fpn_shapes': '--cfg-options '
    'train_dataloader.dataset.num_images=4 '
    'val_dataloader.dataset.num_images=2 train_dataloader.batch_size=2',
    'python benchmarks/vocabulary.py --names 60': '--names 1 --templates 1 '
    '--threads 1',
    'python tools/train.py configs/vild/vild_r18_fpn_shapes.py': ' '.join(
        [
            '--cfg-options train_cfg.max_iters=2 train_cfg.val_interval=2',
            'train_dataloader.batch_size=2 model.teacher.num=2',
            'train_dataloader.dataset.num_images=4',
            'val_dataloader.dataset.num_images=2',
        ]
    ),
    'python tools/test.py configs/vild/vild_r18_fpn_shapes.py '
    f'{WORK}/iter_600.pth': '--cfg-options '
    'test_dataloader.dataset.num_images=2',
    'mmclip detect docs/en/_static/shapes_scene.png --text "red circle . blue '
    f'square" --model {WORK}': '',
}


def commands(page) -> list[str]:
    """The commands of a page's shell blocks, in their order."""
    text = '\n'.join(blocks(page, 'bash', 'sh', 'shell', 'console'))
    text = re.sub(r'\\\n\s*', '', text)
    parts = [p for line in text.splitlines() for p in line.split('&&')]
    return [p for part in parts if (p := part.split(' #')[0].strip())]


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """A folder with what a clone has, to be written into."""
    folder = tmp_path_factory.mktemp('clone')
    for name in ('benchmarks', 'configs', 'docs', 'mmclip', 'tools'):
        (folder / name).symlink_to(ROOT / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def run(command: str, extra: str) -> int:
    """Do what a shell would, in this process: ``mmclip``, or a program."""
    program, *words = shlex.split(f'{command} {extra}')
    if program == 'mmclip':
        return main(words)
    assert program == 'python', command
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', words)
        try:
            runpy.run_path(words[0], run_name='__main__')
        except SystemExit as end:
            return end.code or 0
    return 0


def test_every_command_is_in_the_table_and_no_other():
    written = {command for page in PAGES for command in commands(page)}
    assert written == set(TABLE)


def test_ci_runs_what_installs_and_what_tests():
    ci = (ROOT / '.ci/run').read_text().splitlines()
    for command in [k for k, extra in TABLE.items() if extra is IN_CI]:
        plain = command.replace('pip install', '')
        plain = plain.replace('pip', '').strip()
        assert any(plain in line for line in ci if '==' not in line), command


@pytest.mark.slow
def test_the_commands_run_in_the_order_of_the_pages(clone, capfd):
    done = set()
    for page in PAGES:
        for command in commands(page):
            extra = TABLE[command]
            if extra is IN_CI or command in done:
                continue
            done.add(command)
            code = run(command, extra)
            told = capfd.readouterr()
            assert code == 0, f'{command}\n{told.out}{told.err}'[-3000:]
            if 'train.py' in command:  # two iterations stand for the 600
                os.rename(f'{WORK}/iter_2.pth', f'{WORK}/iter_600.pth')
                (clone / WORK / 'last_checkpoint').write_text(
                    str(clone / WORK / 'iter_600.pth')
                )
    assert (clone / 'outputs/detections.json').is_file()
    for page in PAGES:  # what the training left is what programs read
        for text in blocks(page, 'python'):
            if 'roi_head' not in text:  # tests/docs/test_own_config.py
                exec(text, {})
    assert capfd.readouterr().out  # the README's program prints
