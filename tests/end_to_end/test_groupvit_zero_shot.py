"""From a converted checkpoint to figures of a benchmark, by the command."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from mmclip.cli import main
from tests.groupvit.tiny import IMAGE, pretrainer

SMALL = dict(
    img_encoder=IMAGE | dict(num_heads=1),
    text_encoder=dict(embed_dims=16, layers=1),
    hidden_channels=20,
    out_channels=12,
)


@pytest.fixture
def checkpoint(tmp_path):
    """A small checkpoint whose text side knows all of CLIP's words."""
    path = tmp_path / 'small.pth'
    torch.save(dict(state_dict=pretrainer(**SMALL).state_dict()), path)
    return str(path)


def picture(path, mode, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).convert(mode).save(path)


def run(tmp_path, config: str, checkpoint: str, model, **dataset) -> str:
    """Test a config with a small network and return the log."""
    loader = dict(
        num_workers=0,
        persistent_workers=False,
        dataset=dict(data_root=str(tmp_path), **dataset),
    )
    heir = tmp_path / f'{tmp_path.name}.py'  # runs are named by it
    heir.write_text(
        f"_base_ = ['mmclip::groupvit/{config}.py']\n"
        f'model = {SMALL | model!r}\ntest_dataloader = {loader!r}\n'
    )
    work = tmp_path / 'work'
    words = ['test', str(heir), checkpoint, '--work-dir', str(work)]
    assert main([*words, '--debug']) == 0
    (log,) = work.rglob('*.log')
    return log.read_text()


def test_voc_is_segmented_by_names_and_measured(tmp_path, checkpoint):
    rng = np.random.default_rng(0)
    for name, size in (('a', (30, 40)), ('b', (50, 36))):
        pixels = rng.integers(0, 256, (*size, 3))
        picture(tmp_path / f'JPEGImages/{name}.jpg', 'RGB', pixels)
        labels = rng.integers(0, 21, size)
        picture(tmp_path / f'SegmentationClass/{name}.png', 'L', labels)
    lists = tmp_path / 'ImageSets/Segmentation/val.txt'
    lists.parent.mkdir(parents=True)
    lists.write_text('a\nb\n')
    log = run(
        tmp_path,
        'groupvit_gcc-yfcc_test-voc2012',
        checkpoint,
        dict(test_cfg=dict(crop_size=(224, 224), stride=(224, 224))),
    )
    assert 'mIoU' in log
    assert 'tvmonitor' in log  # the data set's names, whatever they are called


def test_imagenet_is_classified_by_names_and_measured(tmp_path, checkpoint):
    rng = np.random.default_rng(0)
    for k in range(2):
        pixels = rng.integers(0, 256, (40, 30, 3))
        picture(tmp_path / f'val/n{k:03d}/{k}.JPEG', 'RGB', pixels)
    log = run(
        tmp_path,
        'groupvit_gcc-yfcc_test-imagenet',
        checkpoint,
        dict(names=['cat', 'dog', 'sofa', 'bus', 'tree', 'sky']),
        metainfo=dict(classes=('cat', 'dog')),  # as many as there are folders
    )
    assert 'accuracy/top1' in log
    assert 'accuracy/top5' in log


def test_the_packaged_network_segments_what_captions_alone_taught(tmp_path):
    heir = tmp_path / f'{tmp_path.name}.py'  # runs are named by it
    loader = dict(
        num_workers=0, persistent_workers=False, dataset=dict(num_images=40)
    )
    heir.write_text(
        "_base_ = ['mmclip::groupvit/groupvit_test_shapes.py']\n"
        f'test_dataloader = {loader!r}\n'
    )
    work = tmp_path / 'work'
    words = ['test', str(heir), 'mmclip://groupvit-shapes']
    assert main([*words, '--work-dir', str(work), '--debug']) == 0
    (log,) = work.rglob('*.log')
    figures = dict(re.findall(r'(\w*mIoU): ([\d.]+)', log.read_text()))
    # 21 names and the background: chance is far below, 38 was measured
    assert float(figures['mIoU']) > 25
