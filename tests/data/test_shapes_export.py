"""The shapes world as folders: bytes, resuming, and who reads them."""

import hashlib
import io
import json
import tarfile

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

import mmclip  # noqa: F401  (its mends let mmdet be imported)
from mmclip.cli import main
from mmclip.data import shapes_export
from mmclip.data.shapes import concepts, draw_crowd, draw_scene, parse
from mmclip.data.shapes_captions import pair
from mmclip.data.shapes_export import export
from mmclip.data.shapes_formats import VIEWS
from mmclip.data.shapes_photos import draw_photo
from mmclip.data.shapes_views import phrases, semantic_map

BASE = concepts('base', vocabulary='shapes-80')


def contents(folder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


def digest(folder) -> str:
    found = hashlib.sha256()
    for name, content in contents(folder).items():
        found.update(name.encode() + b'\0' + content)
    return found.hexdigest()


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


HASHES = {
    ('coco', ()): (
        '818d10fae2a044a5b4da6e98622436bc87167cb3ad6a0ce195a20f2d85d52e8d'
    ),
    ('coco', ('crowded',)): (
        '2d5cfd079ef0829c821238190f5a4853cce257e1f135b01fb31d9a903e526af2'
    ),
    ('ade', ()): (
        '4850f233049c9e300ec067c30eb3717378d8769216404af0ec9af83d9a58bfef'
    ),
    ('ade', ('crowded',)): (
        '065c97b4cf7c120fde303970af4faa04838ec9e57dbc9259ac1d3a9361b4d985'
    ),
    ('odvg', ()): (
        'a4951de23800e22fc52540d49294af5bab0fe58c6f0eafbc703ecce8d787297b'
    ),
    ('odvg', ('crowded',)): (
        '7d2c8f13a974df0e23b278f16f9fbaa2b5559877e9703d963e4fcd5abec649e8'
    ),
    ('pairs', ()): (
        '21292553081b848acad63e2cd05d13ff64a95cd2ffb27fc54209118cfafeaaf2'
    ),
    ('webdataset', ()): (
        '428d86f961e0d8a19b0c4f4703c1cdcdc67c694b79b4067ff777a8256f17c00e'
    ),
    ('photos', ()): (
        '4448ff717b30233ac82cdac2bedc353659510f90582e210b837d945985af4543'
    ),
}


@pytest.mark.parametrize(('view', 'flags'), HASHES)
def test_a_seed_means_the_same_bytes_on_every_machine(view, flags, tmp_path):
    options = dict.fromkeys(flags, True)
    if view == 'ade':
        options['num_val'] = 2
    export(view, tmp_path, 4, seed=5, **options)
    assert digest(tmp_path) == HASHES[view, flags]


def test_every_view_has_a_hash():
    assert {view for view, _ in HASHES} == set(VIEWS)
    assert {view for view, flags in HASHES if flags} == {
        name for name, view in VIEWS.items() if view.crowds
    }


@pytest.mark.parametrize('view', VIEWS)
def test_an_interrupted_export_goes_on(view, tmp_path, monkeypatch):
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    options = dict(size=64, shard=2)
    told = []
    target = export(view, whole, 5, show=told.append, **options)
    assert target.name == VIEWS[view].target
    assert sorted(set(told)) == [1, 2, 3, 4, 5]

    kind, drawn = VIEWS[view], []

    def item(order, index, until=3):
        if index == until:
            raise KeyboardInterrupt
        drawn.append(index)
        return kind.item(order, index)

    monkeypatch.setitem(VIEWS, view, kind._replace(item=item))
    with pytest.raises(KeyboardInterrupt):
        export(view, cut, 5, **options)
    assert not (cut / kind.target).exists()
    item.__defaults__ = (None,)
    export(view, cut, 5, **options)
    assert drawn == [0, 1, 2, 2, 3, 4]  # whole shards are kept
    assert contents(cut) == contents(whole)

    export(view, cut, 5, **options)
    assert len(drawn) == 6  # all is there


def test_other_settings_in_the_same_folder_are_refused(tmp_path):
    export('coco', tmp_path, 2, size=64)
    with pytest.raises(ValueError, match="differ in \\['seed'\\]"):
        export('coco', tmp_path, 2, size=64, seed=1)


@pytest.mark.parametrize(
    ('view', 'wrong', 'says'),
    [
        ('voc', {}, "no view 'voc'"),
        ('coco', dict(num_images=0), 'got 0 images'),
        ('coco', dict(num_val=1), "num_val is for the view 'ade'"),
        ('pairs', dict(crowded=True), "'pairs' has no crowded scenes"),
        ('ade', dict(vocabulary='all'), '672 names'),
        (
            'coco',
            dict(objects_of=('novel',), classes_of=('base',)),
            "objects_of draws \\['novel'\\]",
        ),
    ],
)
def test_contradictions_are_refused_before_a_file_is_written(
    view, wrong, says, tmp_path
):
    with pytest.raises(ValueError, match=says):
        export(view, tmp_path, **(dict(num_images=1) | wrong))
    assert not list(tmp_path.iterdir())


def test_the_command_line_is_a_door_to_it(tmp_path, capsys, monkeypatch):
    command = ['shapes', 'coco', str(tmp_path / 'a'), '--images', '2']
    assert main([*command, '--seed', '3', '--size', '64']) == 0
    assert 'annotations.json' in capsys.readouterr().out
    export('coco', tmp_path / 'b', 2, seed=3, size=64)
    assert contents(tmp_path / 'a') == contents(tmp_path / 'b')
    assert main([*command, '--seed', '4', '--size', '64']) == 1
    assert 'choose another folder' in capsys.readouterr().err

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(shapes_export, 'export', interrupt)
    assert main(command) == 130
    assert 'the same command goes on' in capsys.readouterr().err


# ---- coco ----


@pytest.mark.parametrize('crowded', [False, True])
def test_a_coco_folder_reads_back(crowded, tmp_path):
    coco = COCO(str(export('coco', tmp_path, 3, seed=4, crowded=crowded)))
    assert len(coco.getCatIds()) == 80
    for i in range(3):
        scene = (
            draw_crowd((4, i), 256, BASE)
            if crowded
            else draw_scene((4, i), among=BASE)
        )
        image = cv2.imread(str(tmp_path / 'images' / f'{i:06d}.png'))
        assert (image[..., ::-1] == scene.image).all()
        found = coco.loadAnns(coco.getAnnIds([i]))
        for ann, entry in zip(found, scene.objects, strict=True):
            assert coco.cats[ann['category_id']]['name'] == entry.concept.name
            assert (coco.annToMask(ann) == entry.mask).all()
        classes = {ann['category_id'] for ann in found}
        assert len(classes) > 8 or not crowded
    assert sorted(coco.anns) == list(range(1, len(coco.anns) + 1))


def test_a_coco_folder_of_base_concepts_holds_no_other_label(tmp_path):
    content = json.loads(export('coco', tmp_path, 30, size=64).read_text())
    names = {c['id']: c['name'] for c in content['categories']}
    labels = {names[a['category_id']] for a in content['annotations']}
    assert {parse(name).split for name in labels} == {'base'}


# ---- ade ----


def read_with_mmseg(folder, subset, **options):
    from mmseg.datasets import BaseSegDataset
    from mmseg.datasets.transforms import LoadAnnotations

    dataset = BaseSegDataset(
        data_root=str(folder),
        data_prefix=dict(
            img_path=f'images/{subset}', seg_map_path=f'annotations/{subset}'
        ),
        img_suffix='.png',
        pipeline=[LoadAnnotations()],
        **options,
    )
    return dataset, [dataset[i]['gt_seg_map'] for i in range(len(dataset))]


@pytest.mark.parametrize('reduce_zero_label', [True, False])
def test_mmseg_reads_the_semantic_maps(tmp_path, reduce_zero_label):
    meta = json.loads(export('ade', tmp_path, 3, num_val=4).read_text())
    assert len(meta['classes']) == 80
    assert (meta['reduce_zero_label'], meta['ignore_index']) == (True, 255)
    names = meta['classes']
    for subset, seed, among in (
        ('training', 0, BASE),
        ('validation', 1, concepts(vocabulary='shapes-80')),
    ):
        dataset, maps = read_with_mmseg(
            tmp_path,
            subset,
            metainfo=dict(classes=names, palette=meta['palette']),
            reduce_zero_label=reduce_zero_label,
        )
        assert len(maps) == (3 if subset == 'training' else 4)
        for i, found in enumerate(maps):
            scene = draw_scene((seed, i), among=among)
            if not reduce_zero_label:
                assert (found == semantic_map(scene, names)).all()
                continue
            expected = np.full(found.shape, 255)
            for entry in scene.objects:
                expected[entry.mask] = names.index(entry.concept.name)
            assert (found == expected).all()


def test_training_maps_hold_base_names_alone(tmp_path):
    meta = json.loads(export('ade', tmp_path, 30, num_val=30).read_text())
    seen = {
        subset: {
            meta['classes'][label]
            for found in read_with_mmseg(
                tmp_path, subset, metainfo=meta, reduce_zero_label=True
            )[1]
            for label in np.unique(found[found != 255])
        }
        for subset in ('training', 'validation')
    }
    assert seen['training'] <= set(meta['base_classes'])
    assert seen['validation'] & set(meta['novel_classes'])
    assert seen['validation'] & set(meta['unseen_classes'])


# ---- odvg ----


@pytest.mark.parametrize('crowded', [False, True])
def test_mmdet_reads_odvg_in_both_forms(crowded, tmp_path):
    from mmdet.datasets import ODVGDataset

    export('odvg', tmp_path, 4, seed=2, crowded=crowded)
    options = dict(
        data_root=str(tmp_path),
        data_prefix=dict(img='images/'),
        return_classes=True,
        pipeline=[],
    )
    detection = ODVGDataset(
        ann_file='detection.jsonl', label_map_file='label_map.json', **options
    )
    grounding = ODVGDataset(ann_file='grounding.jsonl', **options)
    assert len(detection) == len(grounding) == 4
    for i in range(4):
        scene = (
            draw_crowd((2, i), 256, BASE)
            if crowded
            else draw_scene((2, i), among=BASE)
        )
        found, said = detection[i], grounding[i]
        assert cv2.imread(found['img_path']).shape[0] == found['height']
        caption, spans, boxes = phrases(scene)
        assert said['text'] == caption
        for k, entry in enumerate(scene.objects):
            box, region = found['instances'][k], said['instances'][k]
            assert found['text'][str(box['bbox_label'])] == entry.concept.name
            assert box['bbox'] == region['bbox'] == list(entry.box)
            phrase = said['phrases'][region['bbox_label']]
            assert phrase['phrase'].endswith(entry.concept.name)
            assert phrase['tokens_positive'] == [list(spans[k])]
        assert len(found['instances']) == len(said['instances']) == len(boxes)


# ---- pairs, webdataset ----


def test_pairs_are_those_of_the_stream(tmp_path):
    records = lines(export('pairs', tmp_path, 4, seed=6))
    for i, record in enumerate(records):
        drawn = pair(6, i)
        image = cv2.imread(str(tmp_path / record['image']))
        assert (image[..., ::-1] == drawn.image).all()
        assert record['caption'] == drawn.caption
        assert set(record['told']) == drawn.told
        assert set(record['true']) == drawn.true
    assert len(records) == 4


def test_shards_hold_the_same_pairs(tmp_path):
    sizes = json.loads(export('webdataset', tmp_path, 5, shard=2).read_text())
    assert sizes == {
        'shapes-000000.tar': 2,
        'shapes-000001.tar': 2,
        'shapes-000002.tar': 1,
    }
    index = 0
    for name in sizes:
        with tarfile.open(tmp_path / name) as tar:
            members = iter(tar.getmembers())
            for image, text, said in zip(members, members, members):
                key = f'{index:08d}'
                names = [image.name, text.name, said.name]
                assert names == [f'{key}.png', f'{key}.txt', f'{key}.json']
                drawn = pair(0, index)
                pixels = np.frombuffer(tar.extractfile(image).read(), np.uint8)
                read = cv2.imdecode(pixels, cv2.IMREAD_COLOR)[..., ::-1]
                assert (read == drawn.image).all()
                caption = tar.extractfile(text).read().decode()
                record = json.load(io.BytesIO(tar.extractfile(said).read()))
                assert caption == record['caption'] == drawn.caption
                index += 1
    assert index == 5


# ---- photos ----


def test_photos_lie_beside_their_mattes(tmp_path):
    records = lines(export('photos', tmp_path, 3, seed=1, size=96))
    among = concepts('base', 'novel')
    for i, record in enumerate(records):
        photo = draw_photo((1, i), 96, among)
        image, mask = (
            cv2.imread(str(tmp_path / record[key]), cv2.IMREAD_UNCHANGED)
            for key in ('image', 'mask')
        )
        assert record['mask'] == f'{i:06d}_mask.png'
        assert (image[..., ::-1] == photo.image).all()
        assert (mask == photo.alpha).all()
        names = [entry.concept.name for entry in photo.objects]
        assert [o['name'] for o in record['objects']] == names
