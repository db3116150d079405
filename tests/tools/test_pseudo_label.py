"""From a checkpoint and captions to labels, by the tool alone."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from mmengine.runner import Runner
from PIL import Image

from mmclip import jobs
from mmclip.data.shapes import concepts, draw_scene
from tests.end_to_end.tiny import tiny_config

TOOL = Path(jobs.__file__).parent / '.mim/tools/glip/pseudo_label.py'
NAMES = [c.name for c in concepts('base', vocabulary='shapes-80')]


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """Return a folder with a detector, images and captions."""
    folder = tmp_path_factory.mktemp('world')
    Runner.from_cfg(tiny_config(folder / 'work', max_iters=2)).train()
    (folder / 'images').mkdir()
    lines = []
    for k in range(3):
        image = draw_scene((5, k), 64 + 8 * k).image
        Image.fromarray(image).save(folder / f'images/{k}.png')
        caption = f'a {NAMES[k]} and a {NAMES[k + 1]}'
        lines.append(dict(image=f'{k}.png', caption=caption))
    text = '\n'.join(map(json.dumps, lines))
    (folder / 'captions.jsonl').write_text(text)
    return folder


def run(world, out, *options):
    spec = spec_from_file_location('pseudo_label', TOOL)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    paths = [world / name for name in ('work', 'captions.jsonl', 'images')]
    return module.main([*map(str, paths), str(world / out), *options])


def test_a_detector_that_reads_names_labels_phrases(world, capfd):
    options = ('--score-thr', '0', '--nms-thr', '0.5', '--device', 'cpu')
    assert run(world, 'out', *options) == 0
    counts = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert (counts['captions'], counts['failed']) == (3, 0)
    lines = (world / 'out/labels.jsonl').read_text().splitlines()
    assert len(lines) == counts['images'] > 0
    for line in map(json.loads, lines):
        k = int(line['filename'][0])
        side = line['width']
        assert side == 64 + 8 * k
        for region in line['grounding']['regions']:
            assert region['phrase'].removeprefix('a ') in NAMES[k : k + 2]
            assert all(0 <= x <= side for box in region['bbox'] for x in box)
    assert run(world, 'out', *options) == 0
    assert (world / 'out/labels.jsonl').read_text().splitlines() == lines


def test_an_unknown_teacher_and_other_settings_are_told(world, capfd):
    (world / 'empty').mkdir()
    spec = spec_from_file_location('pseudo_label', TOOL)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    arguments = [world / 'empty', world / 'captions.jsonl', world, world / 'x']
    assert module.main([*map(str, arguments)]) == 1
    assert 'holds no last_checkpoint' in capfd.readouterr().err
    assert run(world, 'y', '--score-thr', '0.9', '--device', 'cpu') == 0
    assert run(world, 'y', '--score-thr', '0.8', '--device', 'cpu') == 1
    assert 'score_thr: got 0.9, expected 0.8' in capfd.readouterr().err
