import numpy as np
import pytest

from benchmarks import lseg_oracles as oracles

NAMES = ['background', 'red circle', 'red striped star', 'blue star']


def test_an_oracle_picks_among_the_names_that_share_its_attribute():
    colour = oracles.guesses(NAMES, 'colour')
    assert colour.tolist() == [
        [1, 0, 0, 0],
        [0, 0.5, 0.5, 0],
        [0, 0.5, 0.5, 0],
        [0, 0, 0, 1],
    ]
    shape = oracles.guesses(NAMES, 'shape')
    assert shape[2].tolist() == [0, 0, 0.5, 0.5]


def test_it_is_measured_on_a_configs_test_set(tmp_path, capsys):
    config = tmp_path / 'small.py'
    config.write_text(
        "_base_ = ['mmclip::lseg/lseg_shapes-clip-dpt_shapes.py']\n"
        'test_dataloader = dict(dataset=dict(num_images=20, size=64))\n'
    )
    figures = oracles.main([str(config)])
    assert set(figures) == {'colour', 'texture', 'shape'}
    assert 0 < figures['shape']['novel_mIoU'] < 50
    assert figures['texture']['base_mIoU'] < figures['shape']['base_mIoU']
    assert 'knows only the colour: base_mIoU' in capsys.readouterr().out


def test_areas_leave_ignored_pixels_out():
    class Two:
        def __len__(self):
            return 2

        def get_data_info(self, k):
            return dict(drawn_seg_map=np.array([[0, 1], [255, k]]))

    assert oracles.areas(Two(), 3).tolist() == [3, 3, 0]


def test_the_expected_iou_of_two_equal_classes_is_a_third():
    area = np.array([0.0, 60, 60, 0])
    chance = oracles.guesses(NAMES, 'colour')
    hit = area * chance.diagonal()
    union = area + area @ chance - hit
    assert hit[1] / union[1] == pytest.approx(1 / 3)
