import pytest

from mmclip.lseg.folds import class_names, fold_classes, other_classes


@pytest.mark.parametrize(
    ('benchmark', 'count', 'size'), [('pascal', 20, 5), ('coco', 80, 20)]
)
def test_four_folds_share_out_all_classes(benchmark, count, size):
    folds = [fold_classes(benchmark, k) for k in range(4)]
    assert [len(fold) for fold in folds] == [size] * 4
    assert sorted(sum(folds, [])) == list(range(count))
    for k, fold in enumerate(folds):
        assert not set(fold) & set(other_classes(benchmark, k))
        assert len(other_classes(benchmark, k)) == count - size


def test_pascal_takes_five_in_a_row_and_coco_every_fourth():
    names = class_names('pascal')
    assert [names[k] for k in fold_classes('pascal', 1)] == [
        'bus',
        'car',
        'cat',
        'chair',
        'cow',
    ]
    names = class_names('coco')
    assert [names[k] for k in fold_classes('coco', 0)][:3] == [
        'person',
        'airplane',
        'boat',
    ]


def test_what_does_not_exist_is_refused():
    with pytest.raises(ValueError, match='fold=4'):
        fold_classes('pascal', 4)
    with pytest.raises(ValueError, match="benchmark='voc'"):
        class_names('voc')
