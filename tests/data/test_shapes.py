"""The shapes world: scenes that follow from a seed."""

import hashlib
import time

import numpy as np
import pytest

from mmclip.data.shapes import (
    Canvas,
    Concept,
    concepts,
    draw_crowd,
    draw_portrait,
    draw_scene,
)


def test_a_seed_means_the_same_bytes_on_every_machine():
    digest = hashlib.sha256()
    for seed in range(12):
        scene = draw_scene(seed, among=concepts(), objects=(1, 12))
        digest.update(scene.image.tobytes())
        for entry in scene.objects:
            digest.update(entry.concept.name.encode())
            digest.update(np.packbits(entry.mask).tobytes())
            digest.update(np.array(entry.box, '<f8').tobytes())
        digest.update(draw_portrait(seed, among=concepts()).image.tobytes())
    assert digest.hexdigest() == (
        'a16e18c3ea77ad1b04768f3f3a0225762051d6c20cf70ac64bfd43f95e2d793d'
    )


def test_seeds_and_scenes_are_independent():
    assert (draw_scene((0, 1)).image != draw_scene((1, 0)).image).any()
    before = draw_scene(3).image
    draw_scene(4)
    assert (before == draw_scene(3).image).all()


@pytest.mark.parametrize(
    ('size', 'objects'), [(64, (1, 3)), (128, (1, 6)), (200, (12, 20))]
)
def test_annotations_are_exact(size, objects):
    for seed in range(10):
        scene = draw_scene(seed, size, objects=objects)
        assert scene.image.shape == (size, size, 3)
        assert scene.image.dtype == np.uint8
        assert 1 <= len(scene.objects) <= objects[1]
        owned = np.zeros((size, size), int)
        for entry in scene.objects:
            owned += entry.mask
            rows, columns = np.nonzero(entry.mask)
            assert entry.box == (
                columns.min(),
                rows.min(),
                columns.max() + 1,
                rows.max() + 1,
            )
        assert owned.max() == 1  # a pixel belongs to one object


def test_objects_show_their_colour():
    scene = draw_scene(
        5, among=[Concept('red', 'solid', 'circle')], objects=(3, 3)
    )
    for entry in scene.objects:
        red, green, blue = scene.image[entry.mask].mean(0)
        assert red > 2 * max(green, blue)


def test_crowded_scenes_hold_many_objects():
    counts = [
        len(draw_scene(s, 256, objects=(20, 20), radius=(0.04, 0.09)).objects)
        for s in range(5)
    ]
    assert min(counts) >= 17


@pytest.mark.parametrize('size', [128, 256])
def test_a_crowd_shows_more_than_eight_classes_each_plainly(size, monkeypatch):
    canvases, scene = [], Canvas.scene
    monkeypatch.setattr(
        Canvas, 'scene', lambda self: canvases.append(self) or scene(self)
    )
    counts = set()
    for seed in range(40):
        objects = draw_crowd(seed, size, concepts()).objects
        classes = {entry.concept for entry in objects}
        assert len(objects) == len(classes)  # none of them twice
        counts.add(len(classes))
        for entry, placed in zip(objects, canvases[-1].placed, strict=True):
            assert entry.mask.sum() >= 0.6 * placed[-1]  # of the whole shape
    assert counts == {9, 10, 11, 12, 13, 14}


def test_a_crowd_without_room_is_made_of_smaller_objects():
    crowd = draw_crowd(0, 128, concepts(), (30, 30), radius=(0.2, 0.2))
    assert len(crowd.objects) == 30


@pytest.mark.parametrize(
    'wrong',
    [
        dict(classes=(9, 8)),
        dict(classes=(0, 8)),
        dict(among=concepts('base')[:8]),
        dict(size=64),
    ],
)
def test_impossible_crowds_are_refused(wrong):
    with pytest.raises(ValueError, match='1 <= fewest <= most <= concepts'):
        draw_crowd(0, **wrong)


def test_only_the_asked_concepts_are_drawn():
    among = concepts('base', vocabulary='shapes-80')
    drawn = {
        o.concept
        for s in range(80)
        for o in draw_scene(s, among=among).objects
    }
    assert drawn <= set(among)
    assert len(drawn) > 40


@pytest.mark.parametrize(
    'wrong', [dict(objects=(3, 1)), dict(objects=(-1, 1)), dict(among=())]
)
def test_impossible_requests_are_refused(wrong):
    with pytest.raises(ValueError, match='expected \\(fewest, most\\)'):
        draw_scene(0, **wrong)


def test_a_scene_may_be_empty():
    assert draw_scene(0, objects=(0, 0)).objects == ()


def test_portraits_list_their_one_object():
    for seed in range(30):
        scene = draw_portrait(seed, 64, concepts())
        assert len(scene.objects) == 1
        assert scene.objects[0].mask.mean() > 0.02


def test_scenes_are_drawn_fast_and_without_the_disk(monkeypatch):
    draw_scene(0, among=concepts())

    def refuse(*args, **kwargs):
        raise AssertionError('the disk was touched')

    monkeypatch.setattr('builtins.open', refuse)
    monkeypatch.setattr('os.open', refuse)
    times = []
    for seed in range(60):
        begun = time.process_time()
        draw_scene(seed, among=concepts())
        times.append(time.process_time() - begun)
    assert 1 / np.median(times) > 200  # scenes a second on one core
