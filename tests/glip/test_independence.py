"""GLIP needs no transformers, and three compiled operations of mmcv."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

import mmclip

ROOT = Path(mmclip.__file__).parents[1]
# each is tested against a plain loop in tests/test_ops.py, where mmcv-lite
# has torchvision's kernel in its place
COMPILED = {
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'nms',
    'roi_align_backward',
    'roi_align_forward',
}
ASK = """
import sys

class Poison:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('transformers', 'tokenizers', 'nltk'):
            raise ImportError(f'{name} is poison')

sys.meta_path.insert(0, Poison())
import mmclip
from tests.glip import test_independence
print(test_independence.outputs())
"""


def outputs() -> str:
    """What a small GLIPv2 says to four tasks, as JSON."""
    from mmengine.registry import DefaultScope

    from tests.glip.test_unified_model import EVERY, images, unified

    with DefaultScope.overwrite_default_scope('mmdet'), torch.no_grad():
        model = unified().eval()
        samples = [make() for make in EVERY]
        told, boxes, answered, found = model.predict(images(4), samples)
        losses = model.loss(images(4), [make() for make in EVERY])
    return json.dumps(
        dict(
            words=[told.pred_caption, answered.pred_answer],
            numbers=[
                answered.pred_answer_score,
                *boxes.pred_instances.scores.tolist(),
                *boxes.pred_instances.bboxes.flatten().tolist(),
                *found.pred_instances.scores.tolist(),
                *(float(x) for x in losses.values()),
            ],
        )
    )


def test_without_transformers_the_outputs_are_the_same():
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', ASK],
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout.splitlines()[-1])
    ours = json.loads(outputs())
    assert theirs['words'] == ours['words']
    assert theirs['numbers'] == pytest.approx(
        ours['numbers'], rel=1e-5, abs=1e-5
    )


def check_memory(args) -> None:
    """Images, offsets and masks must lie as mmcv's kernel reads them.

    It goes through each image's (C, h, w) without asking for strides, which
    torchvision's kernel in its place does ask for.
    """
    image, *_, offset, mask = args[:6]
    for maps in (image, offset, mask):
        assert maps[0].is_contiguous(), (maps.shape, maps.stride())


def test_three_compiled_operations_are_all_that_is_called(monkeypatch):
    """So another build of mmcv can change no output but through these."""
    from tests.glip.test_unified_model import EVERY, images, unified

    compiled, called = import_module('mmcv._ext'), set()

    def noted(name, function):
        def call(*args, **kwargs):
            called.add(name)
            if name.startswith('modulated_deform_conv'):
                check_memory(args)
            return function(*args, **kwargs)

        return call

    for name in dir(compiled):
        function = getattr(compiled, name)
        if callable(function) and not name.startswith('_'):
            monkeypatch.setattr(compiled, name, noted(name, function))
    model = unified()
    losses = model.loss(images(4), [make() for make in EVERY])
    sum(losses.values()).backward()
    with torch.no_grad():
        model.eval().predict(images(4), [make() for make in EVERY])
    assert called == COMPILED
