"""What in an annotation file spoils a run, found before it."""

import pytest

from mmclip.data import check


def content(boxes=((1, 1, 8, 8), (20, 20, 10, 10)), **changes):
    """A file with two images of 64 x 48, two classes, a box for each."""
    annotations = [
        dict(id=i, image_id=i % 2, category_id=i % 2, bbox=list(box))
        for i, box in enumerate(boxes)
    ]
    file = dict(
        images=[dict(id=i, width=64, height=48) for i in range(2)],
        annotations=annotations,
        categories=[dict(id=0, name='cat'), dict(id=1, name='dog')],
    )
    return file | changes


def texts(findings, spoils=True):
    return [f.text for f in findings if f.spoils == spoils]


def test_a_sound_file_has_no_findings():
    assert check.check_file(content()) == []


@pytest.mark.parametrize('key', ['images', 'annotations', 'categories'])
def test_an_id_given_twice_is_a_fault(key):
    file = content()
    file[key][1]['id'] = file[key][0]['id']
    assert any(
        f'1 ids of {key} stand there more than once' in text
        for text in texts(check.check_file(file))
    )


def test_an_annotation_without_a_class_is_a_fault():
    file = content()
    file['annotations'][0]['category_id'] = 9
    del file['annotations'][1]['category_id']
    (text,) = texts(check.check_file(file))
    assert text.startswith('2 annotations have no class')
    assert '9' in text


def test_an_annotation_without_an_image_is_a_fault():
    file = content()
    file['annotations'][0]['image_id'] = 'x'
    (text,) = texts(check.check_file(file))
    assert (
        "1 annotations have no image: the file lists no image_id 'x'" in text
    )


@pytest.mark.parametrize(
    ('box', 'said'),
    [
        ((5, 5, 0, 9), 'have no width or height'),
        ((5, 5, 9, -1), 'have no width or height'),
        ((60, 5, 9, 9), 'reach beyond their image'),
        ((-3, 5, 9, 9), 'reach beyond their image'),
        ((99, 5, 9, 9), 'reach beyond their image'),
    ],
)
def test_many_bad_boxes_spoil_a_run_and_a_few_do_not(box, said):
    (text,) = texts(check.check_file(content([box])))
    assert f'1 of 1 boxes {said}, such as annotation 0' in text
    few = check.check_file(content([box, *[(1, 1, 8, 8)] * 200]))
    assert texts(few) == []
    assert f'1 of 201 boxes {said}' in texts(few, spoils=False)[0]


def test_a_box_rounded_over_the_border_is_sound():
    assert check.check_file(content([(-0.5, 0, 65, 48.9)])) == []


def test_categories_that_no_group_names_are_counted():
    (found,) = check.ungrouped(content(), ['cat'])
    assert not found.spoils
    assert (
        "1 categories of the file are in no group, such as 'dog'" in found[0]
    )
    assert 'their 1 boxes' in found.text
    assert check.ungrouped(content(), ['cat', 'dog']) == []


def test_classes_read_in_another_order_are_a_fault():
    (text,) = texts(check.swapped_labels(('cat', 'dog'), ('dog', 'cat')))
    assert "'dog' as 'cat'" in text
    assert check.swapped_labels(('cat', 'dog'), ('cat', 'dog')) == []
    # a name that is spelled otherwise is not another class
    assert check.swapped_labels(('cat', 'dog'), ('cat', 'hound')) == []


def test_a_class_that_the_file_lacks_shifts_the_others():
    (text,) = texts(
        check.swapped_labels(('cat', 'cow', 'dog'), ('cat', 'dog'))
    )
    assert "'dog' as 'cow'" in text
