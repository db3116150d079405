"""The data of whole configs, checked by the command line."""

import json

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmclip.cli import main
from mmclip.data.check_config import report
from mmclip.jobs import find_config
from tests.end_to_end.tiny import tiny_config

NAMES = ['cat', 'dog', 'cow']
PIPELINE = [
    dict(type='mmengine.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.PackDetInputs'),
]


@pytest.fixture
def folder(tmp_path):
    """Write four images with a box of each of the three categories."""
    boxes, images = [], []
    for i in range(4):
        picture = Image.fromarray(np.zeros((48, 64, 3), np.uint8))
        picture.save(tmp_path / f'{i}.png')
        images.append(dict(id=i, file_name=f'{i}.png', width=64, height=48))
        for k in range(3):
            boxes.append(
                dict(
                    id=3 * i + k,
                    image_id=i,
                    category_id=k,
                    bbox=[9 * k, 0, 9, 9],
                    area=81,
                    iscrowd=0,
                )
            )
    letters = 'fcr'
    categories = [
        dict(id=k, name=name, frequency=letters[k])
        for k, name in enumerate(NAMES)
    ]
    write(tmp_path, images, boxes, categories)
    return tmp_path


def write(folder, images, boxes, categories):
    file = dict(images=images, annotations=boxes, categories=categories)
    (folder / 'a.json').write_text(json.dumps(file))


def change(folder, key, index, **values):
    path = folder / 'a.json'
    file = json.loads(path.read_text())
    file[key][index].update(values)
    path.write_text(json.dumps(file))


def loader(folder, kind='mmclip.OVCocoDataset', **options):
    if kind == 'mmclip.OVCocoDataset':
        groups = dict(base_classes=('cat', 'dog'), novel_classes=('cow',))
        options = groups | options
    dataset = dict(
        type=kind,
        data_root=str(folder),
        ann_file='a.json',
        data_prefix=dict(img=''),
        pipeline=PIPELINE,
        **options,
    )
    return dict(
        batch_size=2,
        num_workers=2,
        persistent_workers=True,
        prefetch_factor=2,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dataset,
    )


def config(folder, **options):
    options = dict(classes_of=('base',)) | options
    return Config(
        dict(
            default_scope='mmdet',
            train_dataloader=loader(folder, **options),
            val_dataloader=loader(folder, test_mode=True),
        )
    )


def test_sound_data_are_counted_and_a_batch_is_drawn(folder, capsys):
    assert report(config(folder)) == 0
    printed = capsys.readouterr().out
    assert '4 images, 8 boxes' in printed  # of training
    assert '4 images, 12 boxes' in printed  # of validation
    assert 'base 2 of 2 classes, 8 boxes; novel 1 of 1 classes' in printed
    assert 'first batch: 2 images (3, 48, 64), 4 boxes' in printed
    assert 'faults that spoil a run: none' in printed


def test_the_command_ends_with_1_for_faults_alone(folder, capsys):
    file = folder / 'config.py'
    config(folder).dump(file)
    assert main(['check-data', str(file)]) == 0
    (folder / '2.png').unlink()
    assert main(['check-data', str(file)]) == 1
    assert '1 of 4 image files are missing' in capsys.readouterr().out


def test_a_novel_class_in_training_is_a_leak(folder, capsys):
    assert report(config(folder, classes_of=('base', 'novel'))) == 1
    assert "such as 'cow'" in capsys.readouterr().out


def test_a_plain_training_set_leaks_what_validation_calls_novel(
    folder, capsys
):
    cfg = config(folder)
    cfg.train_dataloader = loader(
        folder, 'mmdet.CocoDataset', metainfo=dict(classes=NAMES)
    )
    assert report(cfg) == 1
    assert 'leak: the training set labels 1 novel' in capsys.readouterr().out


def test_mmdets_order_of_labels_is_checked(folder, capsys):
    cfg = config(folder)
    cfg.train_dataloader = loader(
        folder, 'mmdet.CocoDataset', metainfo=dict(classes=['dog', 'cat'])
    )
    assert report(cfg) == 1
    assert "'cat' as 'dog'" in capsys.readouterr().out


def test_lvis_is_split_by_its_own_letters(folder, capsys):
    cfg = config(folder)
    for part in (cfg.train_dataloader, cfg.val_dataloader):
        classes_of = ('base', 'novel')[: 1 + ('test_mode' in part.dataset)]
        part.dataset = loader(
            folder, 'mmclip.OVLVISV1Dataset', classes_of=classes_of
        )['dataset']
    assert report(cfg) == 0
    assert 'novel 1 of 1 classes, 4 boxes' in capsys.readouterr().out


def test_wrapped_datasets_are_opened(folder, capsys):
    cfg = config(folder)
    inner = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset',
        times=3,
        dataset=dict(type='ConcatDataset', datasets=[inner, inner]),
    )
    assert report(cfg) == 0
    assert '8 images, 16 boxes' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('change_of', 'said'),
    [
        (('annotations', 0, dict(category_id=9)), 'have no class'),
        (('annotations', 0, dict(id=1)), 'more than once'),
        (('images', 0, dict(id=1)), 'more than once'),
        (('annotations', 0, dict(bbox=[0, 0, 0, 9])), 'no width or height'),
        (('annotations', 0, dict(bbox=[60, 0, 40, 9])), 'reach beyond'),
        (('categories', 0, dict(name='kat')), 'lacks 1 of the 2 classes'),
    ],
)
def test_faults_of_the_file_are_found(folder, change_of, said, capsys):
    key, index, values = change_of
    change(folder, key, index, **values)
    assert report(config(folder)) > 0
    assert said in capsys.readouterr().out


def test_a_missing_file_and_a_mistyped_step_are_findings(folder, capsys):
    cfg = config(folder)
    cfg.train_dataloader.dataset.ann_file = 'none.json'
    cfg.val_dataloader.dataset.pipeline = [dict(type='mmdet.PackDetInput')]
    assert report(cfg) == 2
    printed = capsys.readouterr().out
    assert 'none.json' in printed
    assert 'Did you mean mmdet.PackDetInputs' in printed


def test_the_drawn_world_has_no_faults(tmp_path, capsys):
    cfg = tiny_config(tmp_path)
    assert report(cfg) == 0
    assert 'base' in capsys.readouterr().out


def test_shapes_that_are_drawn_in_training_leak_too(tmp_path, capsys):
    splits = ('base', 'unseen')
    cfg = tiny_config(tmp_path)
    cfg.train_dataloader.dataset.update(
        num_images=20, objects_of=splits, classes_of=splits
    )
    assert report(cfg) == 1
    assert 'leak' in capsys.readouterr().out


class Bare:
    """A dataset of another kind: no annotations are known beforehand."""

    metainfo = dict(classes=('a',))

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return dict(inputs=np.zeros(3))


def test_what_cannot_be_checked_is_said(folder, capsys, monkeypatch):
    from mmengine.registry import DATASETS

    monkeypatch.setitem(DATASETS.module_dict, 'Bare', Bare)
    cfg = config(folder)
    cfg.train_dataloader.dataset = dict(type='mmengine.Bare')
    assert report(cfg) == 0
    assert 'Bare has no get_data_info' in capsys.readouterr().out


def test_a_config_without_validation_is_checked_as_far_as_it_goes(
    folder, capsys
):
    cfg = config(folder)
    cfg.val_dataloader = None
    assert report(cfg) == 0
    assert 'val: the config has no val_dataloader' in capsys.readouterr().out


def test_the_config_is_not_changed():
    cfg = Config.fromfile(find_config('vild_r18_fpn_shapes'))
    cfg.train_dataloader.dataset.num_images = 8
    cfg.val_dataloader.dataset.num_images = 8
    before = cfg.pretty_text
    report(cfg)
    assert cfg.pretty_text == before
