import json

import pytest

from mmclip.figures.scalars import chosen, find_scalars, read_curves


def write(folder, stamp, records):
    file = folder / stamp / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text('\n'.join(map(json.dumps, records)) + '\n')
    return file


def test_a_resumed_run_counts_each_step_as_it_was_the_last_time(tmp_path):
    write(
        tmp_path,
        '20260101_000000',
        [dict(loss=3.0, step=1), dict(loss=2.0, step=2)],
    )
    write(
        tmp_path,
        '20260101_000001',
        [dict(loss=1.5, step=2), {'coco/mAP': 0.1, 'step': 2}],
    )
    curves = read_curves(tmp_path)
    assert curves['loss'] == [(1, 3.0), (2, 1.5)]
    assert curves['coco/mAP'] == [(2, 0.1)]
    assert set(curves) == {'loss', 'coco/mAP'}


def test_what_a_test_wrote_at_step_0_belongs_to_no_training(tmp_path):
    write(tmp_path, '20260101_000000', [dict(mIoU=40.0, step=0)])
    assert read_curves(tmp_path) == {}


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path):
    file = write(tmp_path, '20260101_000000', [dict(loss=3.0, step=1)])
    file.write_text(file.read_text() + '{"loss": 2.')
    assert read_curves(file)['loss'] == [(1, 3.0)]


@pytest.mark.parametrize('text', ['', 'no json', '{"a": 1}\nx\n{}', '[1]'])
def test_a_file_of_something_else_is_named(tmp_path, text):
    file = tmp_path / 'other.json'
    file.write_text(text)
    with pytest.raises(ValueError, match='other.json'):
        read_curves(file)


def test_a_folder_without_numbers_says_what_makes_them(tmp_path):
    with pytest.raises(FileNotFoundError, match='LocalVisBackend'):
        find_scalars(tmp_path)
    with pytest.raises(FileNotFoundError, match='no file or folder'):
        find_scalars(tmp_path / 'nowhere')


def test_patterns_choose_keys_and_a_mistyped_one_gets_the_nearest():
    keys = ['loss', 'loss_cls', 'lr', 'loss']
    assert chosen(keys, ['*loss*']) == ['loss', 'loss_cls']
    with pytest.raises(ValueError, match='loss_cls'):
        chosen(keys, ['los_cls'])
