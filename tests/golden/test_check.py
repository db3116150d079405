import sys
from pathlib import Path

import numpy as np
import pytest

ROOM = Path(__file__).parent
sys.path.insert(0, str(ROOM))

import check  # noqa: E402
from cases import ADAPTERS, load_case, save_case  # noqa: E402

TEXT = ROOM / 'cases/vild/text_embeddings.npz'


@pytest.mark.parametrize(
    'path',
    sorted(ROOM.glob('cases/*/*.npz')),
    ids=lambda path: f'{path.parent.name}-{path.stem}',
)
def test_every_stored_case_is_met(path):
    assert check.main([str(path)]) == 0


@pytest.fixture(scope='module')
def computed():
    """Return the text case and what we compute for it, run once."""
    check.import_adapters()
    meta, arrays = load_case(TEXT)
    return meta, arrays, ADAPTERS[meta['kind']](meta, arrays)


@pytest.mark.parametrize(
    'name',
    [
        'out_vild_embeddings',
        'out_detpro_embeddings',
        'out_vild_sentences_all',
        'tap_vild_tokens_name0',
        'tap_vild_per_template_name0',
    ],
)
def test_a_perturbed_quantity_alone_is_missed(computed, name):
    meta, arrays, ours = computed
    other = arrays[name].copy()
    if other.dtype.kind == 'f':
        other += 1e-3 * np.random.default_rng(0).standard_normal(other.shape)
    else:
        other.flat[5] = other.flat[6]
    rows = check.compare(meta, {**arrays, name: other}, ours)
    missed = [n for n, error, tolerance in rows if not error <= tolerance]
    assert missed == [name]


def test_other_weights_are_missed(tmp_path, capsys):
    meta, arrays = load_case(TEXT)
    for slow in ('out_vild_embeddings', 'out_detpro_embeddings'):
        del arrays[slow]
    save_case(tmp_path / 'other.npz', {**meta, 'seed': 72}, arrays)
    assert check.main([str(tmp_path / 'other.npz')]) == 1
    printed = capsys.readouterr().out
    assert 'MISSED tap_vild_per_template_name0' in printed
    assert 'ok     out_vild_sentences_all' in printed


def test_a_result_that_nobody_computes_is_missed():
    rows = check.compare({'tolerance': 1}, {'out_new': np.zeros(3)}, {})
    assert rows == [('out_new', np.inf, 0.0)]


def test_nan_is_missed():
    rows = check.compare(
        {'tolerance': 1}, {'out_x': np.ones(2)}, {'out_x': np.full(2, np.nan)}
    )
    assert not rows[0][1] <= rows[0][2]


def test_an_unknown_kind_names_the_known_ones(tmp_path, capsys):
    path = tmp_path / 'x.npz'
    save_case(path, {'kind': 'vild/none'}, {'out_x': np.zeros(1)})
    assert check.main([str(path)]) == 2
    assert 'vild/text_embeddings' in capsys.readouterr().out


@pytest.mark.parametrize('damage', ['absent', 'text', 'cut', 'bare'])
def test_an_unreadable_file_is_said_and_the_next_one_checked(
    tmp_path, capsys, damage
):
    bad, unknown = tmp_path / 'bad.npz', tmp_path / 'unknown.npz'
    save_case(unknown, {'kind': 'vild/none'}, {'out_x': np.zeros(1)})
    if damage == 'text':
        bad.write_text('not a case')
    elif damage == 'cut':
        bad.write_bytes(TEXT.read_bytes()[:20000])
    elif damage == 'bare':
        np.savez(bad, out_x=np.zeros(1))
    assert check.main([str(bad), str(unknown)]) == 2
    first, *_, last = capsys.readouterr().out.splitlines()
    assert 'bad.npz' in first
    assert 'vild/none' in last


def test_a_broken_header_gives_one_line(tmp_path, capsys):
    meta, arrays = load_case(TEXT)
    meta['config'] = {'text_encoder': 'BERT'}
    save_case(tmp_path / 'x.npz', meta, arrays)
    assert check.main([str(tmp_path / 'x.npz')]) == 2
    assert 'does not say its width' in capsys.readouterr().out
