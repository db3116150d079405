import sys
from pathlib import Path

import pytest

ROOM = Path(__file__).parent
sys.path.insert(0, str(ROOM))

import check  # noqa: E402
from cases import load_case  # noqa: E402

CASES = ROOM / 'cases/vild'


@pytest.mark.parametrize('backend', ['hotcoco', 'reference'])
@pytest.mark.parametrize(
    ('case', 'adapter', 'reference'),
    [
        ('eval_lvis', 'eval_lvis', 'lvis'),
        ('eval_coco_base_novel', 'eval_coco', 'pycocotools'),
    ],
)
def test_both_backends_meet_the_case(case, adapter, reference, backend):
    import vild_evaluation

    meta, arrays = load_case(CASES / f'{case}.npz')
    backend = reference if backend == 'reference' else backend
    ours = getattr(vild_evaluation, adapter)(meta, arrays, backend=backend)
    rows = check.compare(meta, arrays, ours)
    assert len(rows) >= 5
    assert [n for n, error, limit in rows if not error <= limit] == []


@pytest.mark.parametrize(
    ('case', 'adapter', 'name', 'row'),
    [
        ('eval_lvis', 'eval_lvis', 'out_segm', 3),  # small objects' area
        ('eval_lvis', 'eval_lvis', 'out_bbox_fixed_ap', 0),
        ('eval_coco_base_novel', 'eval_coco', 'out_bbox', 5),
        ('eval_coco_base_novel', 'eval_coco', 'out_segm_stats', 6),
    ],
)
def test_another_figure_is_missed(case, adapter, name, row):
    import vild_evaluation

    meta, arrays = load_case(CASES / f'{case}.npz')
    arrays[name][row] += 1e-4
    ours = getattr(vild_evaluation, adapter)(meta, arrays)
    rows = check.compare(meta, arrays, ours)
    assert [n for n, error, limit in rows if not error <= limit] == [name]


def test_another_split_is_missed():
    import vild_evaluation

    meta, arrays = load_case(CASES / 'splits.npz')
    novel = arrays['data_coco_novel'].copy()
    novel[3] = 'zebra'
    letters = arrays['data_lvis_frequency'].copy()
    letters[0] = 'r'
    arrays |= {'data_coco_novel': novel, 'data_lvis_frequency': letters}
    ours = vild_evaluation.splits(meta, arrays)
    missed = {
        n
        for n, error, limit in check.compare(meta, arrays, ours)
        if not error <= limit
    }
    assert missed == {
        'data_coco_novel',
        'data_lvis_frequency',
        'lvis_sizes_of_the_groups',
    }
