"""The benchmark of folders, on a handful of small images."""

from benchmarks import folder_inference as benchmark


def test_a_folder_is_measured_in_a_process_of_its_own(tmp_path):
    found = benchmark.measure('segment', 6, 32, tmp_path)
    assert found['code'] == 0
    assert found['images'] == 6
    assert found['megabytes'] > 100
    assert 0 < found['seconds'] < 10
    assert len(list((tmp_path / 'segment6/labels').iterdir())) == 6


def test_growth_is_told(capsys):
    few = dict(images=10, megabytes=500.0, seconds=0.1, wall=0.2, code=0)
    assert benchmark.report('detect', few, dict(few, images=200))
    assert not benchmark.report('detect', few, dict(few, megabytes=600.0))
    assert not benchmark.report('detect', few, dict(few, seconds=0.2))
    assert capsys.readouterr().out.count('DOES NOT HOLD') == 2
