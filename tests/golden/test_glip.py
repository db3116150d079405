"""GLIP's cases tell a wrong network from a right one."""

import sys
from pathlib import Path

import pytest

ROOM = Path(__file__).parent
sys.path.insert(0, str(ROOM))

import check  # noqa: E402
from cases import load_case, save_case  # noqa: E402

CASES = ROOM / 'cases/glip'


def missed(path, capsys):
    check.import_adapters()
    check.main([str(path)])
    lines = capsys.readouterr().out.splitlines()
    return {line.split()[1] for line in lines if 'MISSED' in line}


def changed(name, tmp_path, change):
    meta, arrays = load_case(CASES / f'{name}.npz')
    change(meta, arrays)
    save_case(tmp_path / 'x.npz', meta, arrays)
    return tmp_path / 'x.npz'


@pytest.mark.parametrize('name', ['vlfuse_separate', 'v2_mask_head'])
def test_other_weights_miss(name, tmp_path, capsys):
    path = changed(name, tmp_path, lambda meta, _: meta.update(seed=99))
    meta, arrays = load_case(path)
    outputs = {k for k in arrays if k.startswith('out_')}
    assert outputs <= missed(path, capsys)


def test_another_positive_map_changes_the_token_loss_alone(tmp_path, capsys):
    def change(meta, arrays):
        maps = arrays['in_positive_map']
        maps[:, :9] = maps[:, :9][:, ::-1].copy()

    path = changed('atss_token_loss', tmp_path, change)
    wrong = missed(path, capsys)
    assert {'out_loss_token', 'out_token_targets_pos'} <= wrong
    assert not {'out_loss_reg', 'out_assigned_gt'} & wrong


@pytest.mark.parametrize(
    ('key', 'value'),
    [('nms_thr', 0.3), ('score_agg', 'MAX'), ('score_thr', 0.3)],
)
def test_other_post_processing_misses(key, value, tmp_path, capsys):
    def change(meta, arrays):
        meta['config'][key] = value

    path = changed('postprocess', tmp_path, change)
    assert 'out_scores' in missed(path, capsys)


@pytest.mark.dist
def test_two_ranks_have_the_loss_of_the_whole_batch():
    """Each rank has an image; the mean of their losses is the case's."""
    check.import_adapters()
    meta, arrays = load_case(CASES / 'atss_token_loss.npz')
    first, ranked = arrays['in_num_gt'][0], {}
    for key, value in arrays.items():
        halves = [value[:1], value[1:]] if value.ndim else [value] * 2
        if key in ('in_positive_map', 'in_boxes'):
            halves = [value[:first], value[first:]]
        if 'focal' not in key:
            ranked.update({f'rank{k}_{key}': v for k, v in enumerate(halves)})
    found = check.run(meta, ranked)
    for name in ('token', 'reg', 'centerness'):
        parts = [found[f'rank{k}_out_loss_{name}'] for k in range(2)]
        whole = float(arrays[f'out_loss_{name}'])
        assert sum(map(float, parts)) / 2 == pytest.approx(whole, rel=1e-5)
