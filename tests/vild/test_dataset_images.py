import json

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config

from mmclip.vild.dataset_images import (
    DatasetImages,
    build_split,
    proposal_pipeline,
)
from tests.vild.teaching import SIDE, shapes

LOAD = dict(type='LoadImageFromFile')
ANNOTATIONS = dict(type='LoadAnnotations', with_bbox=True)
RESIZE = dict(type='Resize', scale=(64, 64), keep_ratio=True)


def coco_options(folder, names=('b.png', 'a.png')):
    """Write two pictures of one colour each, and their annotations."""
    images = []
    for i, name in enumerate(names):
        pixels = np.full((20, 30, 3), (10, 20, 30 + i), np.uint8)  # BGR
        cv2.imwrite(str(folder / name), pixels)
        images.append(dict(id=7 - i, file_name=name, height=20, width=30))
    box = dict(id=1, image_id=7, category_id=1, bbox=[2, 2, 9, 9], area=81)
    content = dict(
        images=images,
        annotations=[dict(box, iscrowd=0)],
        categories=[dict(id=1, name='cat')],
    )
    (folder / 'instances.json').write_text(json.dumps(content))
    return dict(
        type='mmclip.OVCocoDataset',
        base_classes=('cat',),
        data_root=str(folder),
        data_prefix=dict(img=''),
        ann_file='instances.json',
        pipeline=[LOAD, ANNOTATIONS, RESIZE],
    )


def test_files_are_loaded_by_the_datasets_own_step_as_rgb(tmp_path):
    images = DatasetImages(DATASETS.build(coco_options(tmp_path)))
    assert images.ids == [7, 6]
    assert images[1].shape == (3, 20, 30)  # as it is, not resized
    assert images[1][:, 0, 0].tolist() == [31, 20, 10]


def test_drawn_images_need_no_file():
    images = DatasetImages(shapes(3))
    assert images[2].shape == (3, SIDE, SIDE)
    drawn = shapes(3).get_data_info(2)['img'][..., ::-1].copy()
    assert torch.equal(images[2], torch.from_numpy(drawn).permute(2, 0, 1))


@pytest.mark.parametrize('workers', [0, 1])
def test_images_come_in_the_order_asked_for(workers):
    images = DatasetImages(shapes(4))
    loaded = list(images.load([3, 1], workers))
    assert torch.equal(loaded[0], images[3])
    assert torch.equal(loaded[1], images[1])


def test_another_image_set_has_another_identity(tmp_path):
    same = {DatasetImages(shapes(3)).identity for _ in range(2)}
    assert len(same) == 1
    assert DatasetImages(shapes(4)).identity not in same
    assert DatasetImages(shapes(3, seed=1)).identity not in same
    other = shapes(3, classes_of=('base',), unlabelled_of=('novel',))
    assert DatasetImages(other).identity not in same
    first, moved = tmp_path / 'first', tmp_path / 'moved'
    first.mkdir()
    moved.mkdir()
    assert (
        DatasetImages(DATASETS.build(coco_options(first))).identity
        == DatasetImages(DATASETS.build(coco_options(moved))).identity
    )


def test_what_cannot_be_told_apart_is_refused(tmp_path):
    dataset = shapes(3)
    dataset.load_data_list = lambda: [dict(img_id=1), dict(img_id=1)]
    dataset._fully_initialized = False
    with pytest.raises(ValueError, match='has 2 images with 1 ids'):
        DatasetImages(dataset)
    with pytest.raises(ValueError, match='list is no single dataset'):
        DatasetImages([])


def test_a_pipeline_that_loads_nothing_is_an_error(tmp_path):
    options = dict(coco_options(tmp_path), pipeline=[ANNOTATIONS])
    with pytest.raises(ValueError, match='loads no image'):
        DatasetImages(DATASETS.build(options))[0]


def test_a_split_of_a_config_is_found_inside_wrappers(tmp_path):
    options = coco_options(tmp_path)
    wrapped = dict(type='RepeatDataset', times=3, dataset=options)
    cfg = Config(
        dict(
            train_dataloader=dict(dataset=wrapped),
            val_dataloader=dict(dataset=dict(type='X', datasets=[options])),
            test_dataloader=dict(dataset=options),
        )
    )
    dataset = build_split(cfg, 'train')
    assert len(dataset) == 2
    assert len(dataset.pipeline.transforms) == 1
    with pytest.raises(ValueError, match="'val' is absent .* or joins"):
        build_split(cfg, 'val')
    with pytest.raises(ValueError, match="'holdout' is absent"):
        build_split(cfg, 'holdout')
    steps = [step['type'] for step in proposal_pipeline(cfg)]
    assert steps == ['LoadImageFromFile', 'Resize']
