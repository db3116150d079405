import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOM = Path(__file__).parent
sys.path.insert(0, str(ROOM))

import check  # noqa: E402
from cases import load_case, save_case  # noqa: E402

CASES = ROOM / 'cases/vild'


def missed(path, capsys):
    assert check.main([str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    return {line.split()[1] for line in lines if 'MISSED' in line}


@pytest.mark.parametrize(
    'case', ['tf_vild_ensemble_head', 'detpro_coco_single_head']
)
def test_other_weights_miss_every_layer(tmp_path, capsys, case):
    meta, arrays = load_case(CASES / f'{case}.npz')
    save_case(tmp_path / 'x.npz', {**meta, 'seed': 99}, arrays)
    wrong = missed(tmp_path / 'x.npz', capsys)
    assert {name for name in arrays if name.startswith('tap_')} <= wrong


def test_another_mask_of_rare_names_changes_what_depends_on_it(
    tmp_path, capsys
):
    meta, arrays = load_case(CASES / 'tf_vild_ensemble_head.npz')
    arrays['in_rare_mask'][1:] = arrays['in_rare_mask'][:0:-1]
    save_case(tmp_path / 'x.npz', meta, arrays)
    wrong = missed(tmp_path / 'x.npz', capsys)
    assert {'out_scores', 'out_det_scores', 'out_loss_cls'} <= wrong
    assert 'out_logits' not in wrong
    assert 'out_loss_cls_no_mask' not in wrong


def test_a_release_that_lacks_a_variable_is_missed(tmp_path, capsys):
    meta, arrays = load_case(CASES / 'tf_checkpoint_variables.npz')
    meta['config']['variants'] = ['vild_r50']
    listed = json.loads(bytes(arrays['data_vild_r50_json']))
    listed = [pair for pair in listed if pair[0] != 'fpn/p6/bias']
    listed.append(['new/kernel', [2, 3]])
    arrays['data_vild_r50_json'] = np.frombuffer(
        json.dumps(listed).encode(), np.uint8
    )
    save_case(tmp_path / 'x.npz', meta, arrays)
    assert missed(tmp_path / 'x.npz', capsys) == {
        'vild_r50_absent',
        'vild_r50_unused',
        'vild_r50_not_converted',
    }
