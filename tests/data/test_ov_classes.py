import pytest

from mmclip.data.ov_classes import SETS, class_names, frequency_letter


def test_cocos_80_classes_are_base_novel_or_removed():
    from mmdet.datasets import CocoDataset

    assert [len(names) for names in SETS.values()] == [48, 17, 15]
    every = sum(SETS.values(), ())
    assert sorted(every) == sorted(CocoDataset.METAINFO['classes'])


def test_a_set_goes_by_its_name_and_names_stay_as_they_are():
    assert class_names('coco-novel-17')[:2] == ('airplane', 'bus')
    assert class_names(['cat', 'dog']) == ('cat', 'dog')
    with pytest.raises(ValueError, match='coco-base-48'):
        class_names('coco-48')


@pytest.mark.parametrize(
    ('count', 'letter'),
    [(0, 'r'), (10, 'r'), (11, 'c'), (100, 'c'), (101, 'f')],
)
def test_a_letter_follows_from_the_count(count, letter):
    assert frequency_letter(count) == letter
