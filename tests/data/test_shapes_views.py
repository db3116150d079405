"""Phrases, semantic maps and COCO folders of the shapes world."""

import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mmclip.data.shapes import concepts, draw_scene, parse
from mmclip.data.shapes_views import (
    export_coco,
    phrases,
    run_lengths,
    semantic_map,
)


def test_phrases_point_at_their_objects():
    for seed in range(20):
        scene = draw_scene(seed)
        caption, spans, boxes = phrases(scene)
        assert boxes.shape == (len(scene.objects), 4)
        assert len(spans) == len(scene.objects)
        for (start, stop), entry in zip(spans, scene.objects):
            assert caption[start:stop].endswith(entry.concept.name)
        assert spans == sorted(spans)
        assert len(set(spans)) == len(spans)


def test_a_semantic_map_numbers_names_from_one():
    scene = draw_scene(2)
    names = [scene.objects[0].concept.name]
    seen = semantic_map(scene, names)
    assert (seen[scene.objects[0].mask] == 1).all()
    assert set(np.unique(seen)) <= {0, 1, 255}
    assert (seen == 0).sum() == (
        ~np.any([o.mask for o in scene.objects], axis=0)
    ).sum()


def test_a_semantic_map_refuses_more_names_than_a_byte_holds():
    with pytest.raises(ValueError, match='254 at most'):
        semantic_map(draw_scene(0), ['x'] * 255)


@pytest.mark.parametrize(
    'mask',
    [
        np.zeros((3, 4), bool),
        np.ones((3, 4), bool),
        np.array([[1, 0, 1], [0, 1, 1]], bool),
    ],
)
def test_run_lengths_are_cocos(mask):
    runs = run_lengths(mask)
    compressed = coco_mask.frPyObjects(runs, *runs['size'])
    assert (coco_mask.decode(compressed) == mask).all()


def test_an_exported_folder_reads_back_as_coco(tmp_path):
    target = export_coco(tmp_path, 3, seed=4)
    coco = COCO(str(target))
    assert len(coco.getCatIds()) == 80
    assert sorted(p.name for p in (tmp_path / 'images').iterdir()) == [
        '000000.png',
        '000001.png',
        '000002.png',
    ]
    for i in range(3):
        scene = draw_scene(
            (4, i), among=concepts('base', vocabulary='shapes-80')
        )
        image = cv2.imread(str(tmp_path / 'images' / f'{i:06d}.png'))
        assert (image[..., ::-1] == scene.image).all()
        found = coco.loadAnns(coco.getAnnIds([i]))
        for ann, entry in zip(found, scene.objects, strict=True):
            assert coco.cats[ann['category_id']]['name'] == entry.concept.name
            assert (coco.annToMask(ann) == entry.mask).all()


def test_an_export_of_base_concepts_holds_no_novel_or_unseen_label(tmp_path):
    target = export_coco(tmp_path, 30, size=64)
    content = json.loads(target.read_text())
    names = {c['id']: c['name'] for c in content['categories']}
    labels = {names[a['category_id']] for a in content['annotations']}
    assert {parse(name).split for name in labels} == {'base'}


def test_export_refuses_to_draw_what_it_cannot_label(tmp_path):
    with pytest.raises(ValueError, match='names lacks'):
        export_coco(tmp_path, 1, names=['red circle'])
    assert not list(tmp_path.iterdir())
