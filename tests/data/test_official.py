import json

import pytest

from mmclip.data import official
from mmclip.data.official import (
    COCO_IDS,
    check_coco,
    check_images,
    check_lvis,
    count_groups,
    groups_of_coco,
    groups_of_lvis,
    read_annotations,
    write_base,
)


def coco_file(split='train', **changes):
    """A tiny file with COCO's own categories: a person and an airplane."""
    from mmdet.datasets import CocoDataset

    categories = [
        dict(id=i, name=n)
        for i, n in zip(COCO_IDS, CocoDataset.METAINFO['classes'])
    ]
    images = [
        dict(
            id=i,
            file_name=f'{i}.jpg',
            width=64,
            height=64,
            coco_url=f'http://host/{split}2017/{i}.jpg',
        )
        for i in (1, 2)
    ]
    boxes = [
        dict(id=k, image_id=i, category_id=c, bbox=[0, 0, 9, 9], iscrowd=w)
        for k, (i, c, w) in enumerate([(1, 1, 0), (1, 1, 1), (2, 5, 0)])
    ]
    content = dict(images=images, annotations=boxes, categories=categories)
    return {**content, **changes}


def lvis_file(split='train', **changes):
    """A tiny file with LVIS v1's letters: the first class is rare."""
    letters = 'r' * 337 + 'c' * 461 + 'f' * 405
    counts = dict(r=10, c=11, f=101)
    categories = [
        dict(
            id=i + 1,
            name=f'n{i}',
            frequency=letter,
            image_count=counts[letter],
        )
        for i, letter in enumerate(letters)
    ]
    images = [
        dict(
            id=1,
            width=64,
            height=64,
            coco_url=f'http://host/{split}2017/000001.jpg',
            neg_category_ids=[],
            not_exhaustive_category_ids=[],
        )
    ]
    boxes = [
        dict(id=i, image_id=1, category_id=c, bbox=[0, 0, 9, 9])
        for i, c in enumerate([1, 400, 1000])
    ]
    content = dict(images=images, annotations=boxes, categories=categories)
    return {**content, **changes}


def faults(findings):
    return [f.text for f in findings if f.spoils]


def notes(findings):
    return [f.text for f in findings if not f.spoils]


def test_a_small_part_of_the_official_file_is_noted_and_no_fault():
    for found in (
        check_coco(coco_file(), 'train'),
        check_lvis(lvis_file(), 'train'),
    ):
        assert faults(found) == []
        assert 'not for figures' in notes(found)[0]


def test_a_file_of_the_official_size_is_not_noted(monkeypatch):
    sizes = {'train': (2, 3), 'val': (1, 1)}
    monkeypatch.setitem(official.SIZES, 'coco', sizes)
    assert check_coco(coco_file(), 'train') == []


@pytest.mark.parametrize(
    ('check', 'write'), [(check_coco, coco_file), (check_lvis, lvis_file)]
)
def test_the_validation_set_is_no_training_set(check, write):
    content = write('val')
    assert 'this is the val set' in faults(check(content, 'train'))[0]
    assert faults(check(content, 'val')) == []


def test_it_is_known_by_its_size_where_images_have_no_url(monkeypatch):
    bare = [dict(id=1, file_name='a.jpg')]
    content = coco_file(images=bare, annotations=[])
    sizes = {'train': (7, 7), 'val': (1, 0)}
    monkeypatch.setitem(official.SIZES, 'coco', sizes)
    assert 'this is the val set' in faults(check_coco(content, 'train'))[0]


def test_the_training_set_is_no_validation_set():
    found = check_coco(coco_file('train'), 'val')
    assert 'this is the train set' in faults(found)[0]


@pytest.mark.parametrize(
    ('count', 'name'), [(1230, 'LVIS v0.5'), (80, 'COCO'), (7, 'no LVIS v1')]
)
def test_another_version_of_lvis_is_named(count, name):
    categories = [dict(id=i + 1, name='x') for i in range(count)]
    found = faults(check_lvis(lvis_file(categories=categories), 'train'))
    assert len(found) == 1
    assert name in found[0]


def test_other_letters_are_a_fault():
    content = lvis_file()
    content['categories'][5]['frequency'] = 'f'
    assert "'r': 336" in faults(check_lvis(content, 'train'))[0]


def test_letters_that_their_counts_contradict_are_noted():
    content = lvis_file()
    content['categories'][5]['image_count'] = 500
    found = check_lvis(content, 'train')
    assert faults(found) == []
    assert (
        "1 letters do not fit their image_count, such as 'n5'"
        in (notes(found)[0])
    )


def test_images_that_are_not_federated_are_a_fault():
    content = lvis_file()
    del content['images'][0]['neg_category_ids']
    assert 'neg_category_ids' in faults(check_lvis(content, 'val'))[0]


def test_other_ids_or_names_than_cocos_are_a_fault():
    content = coco_file()
    content['categories'][4]['id'] = 12
    message = faults(check_coco(content, 'train'))[0]
    assert "'12 airplane'" in message
    assert "'5 airplane'" in message


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"images": [', 'cut short'),
        ('<html>not found</html>', 'no JSON'),
        ('{"images": [], "annotations": []}', 'has no categories'),
        ('[]', 'no annotation file'),
        ('{}', 'no annotation file'),
    ],
)
def test_a_file_that_is_none_is_said_to_be(tmp_path, text, message):
    path = tmp_path / 'x.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_annotations(path)


def test_missing_images_are_counted_and_one_is_named(tmp_path):
    (tmp_path / '1.jpg').touch()
    assert (
        '1 of 2 images are missing'
        in (faults(check_images(coco_file(), tmp_path))[0])
    )
    (tmp_path / '2.jpg').touch()
    assert check_images(coco_file(), tmp_path) == []


def test_lvis_images_are_looked_for_where_their_url_says(tmp_path):
    folder = tmp_path / 'train2017'
    assert (
        str(folder / '000001.jpg')
        in (faults(check_images(lvis_file(), tmp_path))[0])
    )
    folder.mkdir()
    (folder / '000001.jpg').touch()
    assert check_images(lvis_file(), tmp_path) == []


def test_groups_have_their_classes_boxes_and_images():
    content = coco_file()
    groups = groups_of_coco(content)
    assert [len(ids) for ids in groups.values()] == [48, 17, 15]
    counts = count_groups(content, groups)
    assert counts['base'] == (48, 1, 1, 1)
    assert counts['novel'] == (17, 1, 0, 1)
    counts = count_groups(lvis_file(), groups_of_lvis(lvis_file()))
    assert counts['base'] == (866, 2, 0, 1)
    assert counts['novel'] == (337, 1, 0, 1)


def test_the_base_file_has_no_novel_box_and_the_same_ids(tmp_path):
    content, path = coco_file(), tmp_path / 'new' / 'base.json'
    base = groups_of_coco(content)['base']
    assert write_base(content, base, path) == 2
    written = json.loads(path.read_text())
    assert {a['category_id'] for a in written['annotations']} == {1}
    assert written['images'] == content['images']
    assert written['categories'] == content['categories']
    assert [p.name for p in path.parent.iterdir()] == ['base.json']


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / 'base.json'
    path.write_text('old')
    content = coco_file(info={1, 2})  # JSON knows no sets
    with pytest.raises(TypeError):
        write_base(content, {1}, path)
    assert path.read_text() == 'old'
    assert [p.name for p in tmp_path.iterdir()] == ['base.json']
