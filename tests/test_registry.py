import subprocess
import sys

import pytest
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.registry import DefaultScope

from mmclip.registry import (
    DATASETS,
    MODELS,
    near_types,
    with_nearest_names,
)


def test_a_prefixed_type_is_found_without_custom_imports():
    code = (
        'import mmclip, mmdet.registry as r\n'
        'from mmengine.registry import init_default_scope\n'
        "init_default_scope('mmdet')\n"
        "print(r.MODELS.get('mmclip.ViLDRoIHead').__module__)\n"
        "print(r.DATASETS.get('mmclip.ShapesDataset').__module__)\n"
        "print(r.METRICS.get('mmclip.OVCocoMetric').__module__)\n"
        "print(r.HOOKS.get('mmclip.VocabularyHook').__module__)\n"
    )
    run = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True
    )
    assert run.stdout.split() == [
        'mmclip.vild.roi_head',
        'mmclip.data.shapes_dataset',
        'mmclip.evaluation.ov_coco',
        'mmclip.hooks',
    ], run.stderr[-2000:]


@pytest.mark.parametrize('registry', [MODELS, MMDET_MODELS])
def test_a_typo_names_its_neighbours(registry):
    with pytest.raises(KeyError, match='did you mean ViLDRoIHead'):
        registry.build(dict(type='mmclip.ViLDRoiHead'))


def test_a_type_of_another_package_hints_at_its_prefix():
    with (
        DefaultScope.overwrite_default_scope('mmclip'),
        pytest.raises(KeyError, match=r"'mmdet\.FPN'"),
    ):
        MODELS.build(dict(type='FPN'))


def test_an_unknown_dataset_lists_what_is_registered():
    with pytest.raises(KeyError, match='ShapesDataset'):
        DATASETS.build(dict(type='mmclip.Zzz'))


def test_a_model_of_an_absent_framework_names_the_package(monkeypatch):
    from mmclip import models

    monkeypatch.setitem(models.MISSING, 'SomeHead', 'mmseg')
    with pytest.raises(KeyError, match='needs the package .*mmseg'):
        MODELS.build(dict(type='mmclip.SomeHead'))
    with pytest.raises(ImportError, match='mmseg'):
        _ = models.SomeHead


def test_other_messages_pass_as_they_are():
    assert with_nearest_names('no key of yours') == 'no key of yours'


def test_near_types_carry_the_prefix_that_a_config_needs():
    MMDET_MODELS.import_from_location()
    assert near_types('RPNHaed', 'model')[0].startswith('mmdet.')
    assert near_types('RPNHaed', 'hook') == []
