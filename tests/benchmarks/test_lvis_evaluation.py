"""The benchmark of LVIS evaluation, on a few images."""

import numpy as np

from benchmarks import lvis_evaluation as benchmark


def test_both_sides_agree_on_figures_that_are_neither_none_nor_all():
    result = benchmark.measure(images=8, names=12, found=20)
    assert result.difference <= benchmark.TOLERANCE
    assert 0.05 < result.figures['lvis']['bbox_AP'] < 0.95
    assert set(result.seconds) == {'lvis', 'hotcoco'}


def test_the_report_names_both_sides_and_their_ratio(capsys):
    figures = {f'bbox_{k}': 0.25 for k in ('AP', 'APr', 'APc', 'APf')}
    result = benchmark.Result(
        dict(lvis=60.0, hotcoco=0.5), dict(lvis=figures, hotcoco=figures)
    )
    assert benchmark.report(result, 4, 5, 6) == 0
    printed = capsys.readouterr().out
    assert '4 images x 5 names, 6 detections an image' in printed
    assert '120 times faster' in printed


def test_another_figure_is_a_failure():
    figures = {f'bbox_{k}': 0.25 for k in ('AP', 'APr', 'APc', 'APf')}
    for other in (figures | {'bbox_AP': 0.2501}, figures | {'bbox_AR': 1.0}):
        result = benchmark.Result(
            dict(lvis=1, hotcoco=1), dict(lvis=figures, hotcoco=other)
        )
        assert not result.difference <= benchmark.TOLERANCE
        assert benchmark.report(result, 1, 1, 1) == 1


def test_the_data_have_names_of_every_letter_and_full_images():
    content, found = benchmark.invent(images=3, names=9, found=7)
    letters = [c['frequency'] for c in content['categories']]
    assert letters == ['f'] * 3 + ['c'] * 3 + ['r'] * 3
    assert np.bincount(found.image_ids).tolist() == [0, 7, 7, 7]
    assert (found.boxes[:, 2:] > 0).all()
