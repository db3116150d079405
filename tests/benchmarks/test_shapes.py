"""The comparison of methods: its maths, its table, and all of it at once."""

import json
import math
import sys
import time

import pytest

from benchmarks import shapes as benchmark
from benchmarks import shapes_report, shapes_runs


def figures(base, novel, unseen=0.5):
    harmonic = shapes_runs.harmonic_mean(base, novel)
    return dict(base=base, novel=novel, unseen=unseen, harmonic=harmonic)


def logged(folder, base=0.5, unseen=0.25, name='1/vis_data/scalars.json'):
    """Write a log as mmengine does, its last line cut off."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        'coco/bbox_base_mAP_50': base,
        'coco/bbox_novel_mAP_50': base / 2,
        'coco/bbox_unseen_mAP_50': unseen,
    }
    lines = [dict(iter=50), record, dict(iter=100)]
    path.write_text('\n'.join(map(json.dumps, lines)) + '\n{"iter": 1')


def a_run(out, method='vild-text', seed=0, iters=2, images=4):
    return shapes_runs.Run(method, seed, iters, images, out)


def test_the_harmonic_mean_is_near_the_smaller_one():
    assert shapes_runs.harmonic_mean(0.9, 0.3) == pytest.approx(0.45)
    assert shapes_runs.harmonic_mean(0.5, 0.5) == pytest.approx(0.5)
    assert shapes_runs.harmonic_mean(0.9, 0.0) == 0
    assert shapes_runs.harmonic_mean(0.0, 0.0) == 0
    assert math.isnan(shapes_runs.harmonic_mean(0.9, math.nan))


def test_paired_differences_cancel_what_a_seed_does_to_both():
    paired = shapes_report.paired_differences([0.1, 0.5, 0.9], [0.2, 0.7, 1.2])
    assert paired.mean == pytest.approx(0.2)
    assert paired.error == pytest.approx(0.1 / math.sqrt(3))
    assert paired.signs == '+ + +'


def test_reversed_differences_keep_their_signs():
    paired = shapes_report.paired_differences([0.5, 0.5, 0.5], [0.4, 0.5, 0.6])
    assert paired.signs == '- 0 +'
    turned = shapes_report.paired_differences([0.4, 0.5, 0.6], [0.5, 0.5, 0.5])
    assert turned.mean == pytest.approx(-paired.mean)
    assert turned.signs == '+ 0 -'


def test_one_seed_has_a_difference_but_no_error():
    paired = shapes_report.paired_differences([0.5], [0.4])
    assert paired.mean == pytest.approx(-0.1)
    assert math.isnan(paired.error)


def test_seeds_of_one_method_alone_are_no_pairs():
    with pytest.raises(ValueError, match='got 2 and 1'):
        shapes_report.paired_differences([0.1, 0.2], [0.1])


def test_the_page_has_both_tables_with_reversed_differences(tmp_path):
    found = {
        'vild-text': [figures(0.8, 0.4), figures(0.9, 0.6)],
        'supervised': [figures(0.9, 0.2), figures(0.9, 0.4)],
    }
    page = shapes_report.report(found, [a_run(tmp_path)], {'bars': 'bars.png'})
    row = '`vild-text`: ViLD-text | 85.0 ± 7.1 | 50.0 ± 14.1 | 50.0 ± 0.0'
    assert row in page
    assert (
        '`supervised` less `vild-text` | +5.0 ± 5.0 (+ 0) | -20.0 ± 0.0 (- -)'
        in (page)
    )
    assert 'Seeds: 2; iterations: 2; test scenes: 4' in page
    assert '![bars](bars.png)' in page


def test_boxes_and_pixels_stand_in_tables_of_their_own(tmp_path):
    found = {
        'vild': [figures(0.8, 0.4)],
        'lseg': [figures(0.6, 0.2)],
        'lseg-dense': [figures(0.7, 0.5)],
    }
    page = shapes_report.report(found, [a_run(tmp_path)], {})
    assert '| AP50 of boxes | base' in page
    assert '| mIoU of pixels | base' in page
    assert '`lseg-dense` less `lseg` | +10.0' in page
    assert 'less `vild`' not in page


def test_iou_is_logged_in_percent_and_nan_is_no_truth():
    record = dict(base_mIoU=50.0, novel_mIoU=25.0, unseen_mIoU=math.nan)
    assert shapes_runs.group_figures(record) == dict(
        base=0.5, novel=0.25, unseen=None
    )
    assert shapes_runs.group_figures(dict(loss=1)) is None


def test_a_group_without_truth_is_a_dash():
    found = {'vild': [figures(0.8, 0.4, math.nan)] * 2}
    assert '| – ± – |' in shapes_report.figures_table(found)


def test_methods_of_a_seed_differ_in_their_own_options_alone(tmp_path):
    text, supervised, other = (
        set(a_run(tmp_path, *which).settings['options'])
        for which in (('vild-text', 0), ('supervised', 0), ('vild-text', 1))
    )
    assert {option.split('=')[0] for option in supervised - text} == {
        'train_dataloader.dataset.objects_of',
        'train_dataloader.dataset.classes_of',
    }
    assert text < supervised
    assert other - text == {'randomness.seed=1'}


def test_the_length_is_the_configs_unless_it_is_given(tmp_path):
    run = shapes_runs.Run('vild-text', 0, None, None, tmp_path)
    assert run.settings['iters'] == 600
    assert run.settings['images'] == 200
    assert a_run(tmp_path).settings['iters'] == 2


def test_every_method_changes_what_its_config_has(tmp_path):
    from argparse import ArgumentParser

    from mmclip import jobs

    parser = ArgumentParser()
    jobs.add_train_options(parser)
    for method in shapes_runs.METHODS:
        command = a_run(tmp_path, method).command('train')
        cfg = jobs.load_config(parser.parse_args(command[4:]))
        data = cfg.train_dataloader.dataset
        data, *captioned = data.get('datasets', [data])
        assert bool(captioned) == (method == 'lseg-captions')
        splits = {'base', 'novel', 'unseen'}
        boxed = splits if method == 'supervised' else {'base'}
        assert set(data.objects_of) == set(data.classes_of) == boxed
        assert set(cfg.val_dataloader.dataset.classes_of) == splits
        assert cfg.train_cfg.max_iters == cfg.train_cfg.val_interval == 2
        if shapes_runs.METHODS[method].measure == shapes_runs.PIXELS:
            fused = method in ('lseg-dense', 'lseg-captions-dense')
            assert ('dense' in cfg.model) == fused
            frozen = cfg.model.backbone.get('frozen', method == 'clip-dense')
            assert frozen == (method not in ('lseg-tuned', 'lseg-scratch'))
            continue
        head = cfg.model.roi_head.get('image_head')
        distils = dict(vild='shared') | {'vild-ensemble': {}}
        assert head == distils.get(method)


def test_a_torn_log_still_gives_steps_and_figures(tmp_path):
    assert shapes_runs.logged_figures(tmp_path) is None
    assert shapes_runs.steps_done(tmp_path) == 0
    logged(tmp_path, unseen=-1.0)
    assert shapes_runs.steps_done(tmp_path) == 100
    assert shapes_runs.logged_figures(tmp_path) == dict(
        base=0.5, novel=0.25, unseen=None
    )


def test_figures_are_kept_and_an_absent_group_comes_back_as_nan(tmp_path):
    run = a_run(tmp_path)
    logged(run.folder, unseen=-1.0)
    assert shapes_runs.kept_figures(run) is None
    shapes_runs.measure(run, print)  # its figures are there: nothing to run
    kept = shapes_runs.kept_figures(run)
    assert kept['harmonic'] == pytest.approx(1 / 3)
    assert math.isnan(kept['unseen'])
    shapes_runs.check_settings(run)


def test_a_run_cut_off_before_its_figures_is_tested(tmp_path, monkeypatch):
    run, jobs = a_run(tmp_path), []
    run.folder.mkdir(parents=True)
    (run.folder / 'last_checkpoint').write_text('iter_2.pth')

    def execute(command, folder, show):
        jobs.append(command[3])
        if command[3] == 'test':
            assert command[5] == 'iter_2.pth'
            logged(folder, name='2/2.json')

    monkeypatch.setattr(shapes_runs, 'execute', execute)
    assert shapes_runs.measure(run, print)['base'] == 0.5
    assert jobs == ['train', 'test']


def test_a_method_may_test_what_another_has_trained(tmp_path, monkeypatch):
    run, jobs = a_run(tmp_path, 'lseg-dense'), []

    def execute(command, folder, show):
        jobs.append((command[3], folder.name))
        if command[3] == 'test':
            assert command[5] == 'iter_2.pth'
        (folder / 'last_checkpoint').write_text('iter_2.pth')
        logged(folder)

    monkeypatch.setattr(shapes_runs, 'execute', execute)
    shapes_runs.measure(run, print)
    assert jobs == [('train', 'lseg_seed0'), ('test', 'lseg-dense_seed0')]
    assert shapes_runs.kept_figures(a_run(tmp_path, 'lseg')) is not None
    assert run.settings['weights'] == a_run(tmp_path, 'lseg').settings
    shapes_runs.check_settings(run)


def test_what_is_never_trained_is_tested_without_a_checkpoint(
    tmp_path, monkeypatch
):
    jobs = []

    def execute(command, folder, show):
        jobs.append(command[3:6:2])
        logged(folder)

    monkeypatch.setattr(shapes_runs, 'execute', execute)
    shapes_runs.measure(a_run(tmp_path, 'clip-dense'), print)
    assert jobs == [['test', 'none']]


def test_variants_run_where_they_are_asked_for_alone():
    usual = benchmark.build_parser().parse_args([]).method
    assert 'lseg-dense' in usual
    assert 'lseg-captions' not in usual
    asked = ['--method', 'lseg-captions']
    assert benchmark.build_parser().parse_args(asked).method == asked[1:]


def test_other_settings_in_the_same_folder_are_refused(tmp_path):
    logged(a_run(tmp_path).folder)
    shapes_runs.measure(a_run(tmp_path), print)
    with pytest.raises(ValueError, match='max_iters=3.*--out'):
        shapes_runs.check_settings(a_run(tmp_path, iters=3))


def test_another_config_is_refused_too(tmp_path, monkeypatch):
    logged(a_run(tmp_path).folder)
    shapes_runs.measure(a_run(tmp_path), print)
    config = shapes_runs.read_config('vild-text_r18_fpn_shapes')
    changed = dict(config, optim_wrapper=None)
    monkeypatch.setattr(shapes_runs, 'read_config', lambda name: changed)
    with pytest.raises(ValueError, match='the config file'):
        shapes_runs.check_settings(a_run(tmp_path))


def test_a_failed_process_is_told_with_its_last_lines(tmp_path):
    command = [sys.executable, '-c', 'raise SystemExit("no such thing")']
    with pytest.raises(RuntimeError, match='no such thing'):
        shapes_runs.execute(command, tmp_path, print)


def test_an_interrupted_comparison_takes_its_training_along(tmp_path):
    def interrupt(steps):
        raise KeyboardInterrupt

    sleep = [sys.executable, '-c', 'import time; time.sleep(60)']
    begin = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        shapes_runs.execute(sleep, tmp_path, interrupt)
    assert time.perf_counter() - begin < 30


@pytest.mark.slow
def test_two_methods_are_trained_compared_and_then_kept(
    tmp_path, capsys, monkeypatch
):
    command = '--method vild supervised --seeds 1 --iters 2 --images 4 --out'
    command = [*command.split(), str(tmp_path)]
    assert benchmark.main(command) == 0
    page = (tmp_path / 'report.md').read_text(encoding='utf-8')
    assert '`supervised` less `vild`' in page
    printed = capsys.readouterr()
    assert page in printed.out
    assert '2/2 supervised_seed0' in printed.err
    pictures = {p.name for p in (tmp_path / '_static').iterdir()}
    assert {'report_bars_AP50.png', 'report_vild_0001.jpg'} <= pictures
    assert all(f'](_static/{name})' in page for name in pictures)

    monkeypatch.setattr(shapes_runs, 'execute', None)  # nothing is left to run
    assert benchmark.main(command) == 0
    assert (tmp_path / 'report.md').read_text(encoding='utf-8') == page
    assert '0 of 2 runs to do' in capsys.readouterr().err
