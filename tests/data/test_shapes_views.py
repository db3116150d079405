"""Phrases, semantic maps and entries of COCO and ODVG."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmclip.data.shapes import draw_scene
from mmclip.data.shapes_views import (
    odvg_detection,
    odvg_grounding,
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


def test_odvg_entries_tell_where_each_name_stands():
    scene = draw_scene(7, objects=(4, 6))
    names = [o.concept.name for o in scene.objects][::-1]
    for entry, found in zip(
        scene.objects, odvg_detection(scene, names)['instances'], strict=True
    ):
        assert found['category'] == names[found['label']]
        assert found['category'] == entry.concept.name
        assert found['bbox'] == list(entry.box)
    grounding = odvg_grounding(scene)
    for region in grounding['regions']:
        [[start, stop]] = region['tokens_positive']
        assert grounding['caption'][start:stop] == region['phrase']


def test_an_empty_scene_has_no_instances_and_no_regions():
    scene = draw_scene(0, objects=(0, 0))
    assert odvg_detection(scene, []) == dict(instances=[])
    assert odvg_grounding(scene) == dict(caption='', regions=[])
