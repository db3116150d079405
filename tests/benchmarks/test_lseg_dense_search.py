"""The search for zoom and weight, on a model trained for two steps."""

import json

import pytest
import torch

from benchmarks import lseg_dense_search as search

SETTINGS = ['--zoom', '1', '2', '--weight', '0', '1', '--images', '6']


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp('search') / 'small.py'
    path.write_text(
        "_base_ = ['mmclip::lseg/lseg_shapes-clip-dpt-dense_shapes.py']\n"
        'val_dataloader = dict(dataset=dict(size=64))\n'
    )
    return str(path)


@pytest.fixture(scope='module')
def checkpoints(config):
    """Write two files of random weights."""
    paths = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model, dataset = search.load(config, 2, 1)
        model.set_vocabulary(list(dataset.metainfo['classes']))
        paths.append(config.replace('small.py', f'{seed}.pth'))
        torch.save(dict(state_dict=model.state_dict()), paths[-1])
    return paths


def test_no_weight_is_the_model_alone_at_any_zoom(config):
    from mmclip.evaluation.ov_iou import group_iou, groups_of

    torch.manual_seed(0)
    model, dataset = search.load(config, 2, 3)
    found = search.search(model, dataset, [1, 2], [0, 1])
    assert found['1 0'] == found['2 0']
    assert len({tuple(one.values()) for one in found.values()}) == 3
    model.dense, counts = None, 0
    classes = list(dataset.metainfo['classes'])
    for item in dataset:
        data = dict(inputs=[item['inputs']])
        data = model.data_preprocessor(
            dict(data, data_samples=[item['data_samples']])
        )
        (one,) = model.predict(data['inputs'], [item['data_samples']])
        pair = (one.pred_sem_seg.data, one.gt_sem_seg.data)
        each = [
            torch.stack([(x == k).sum() for k in range(len(classes))])
            for x in pair
        ]
        same = torch.stack(
            [((pair[0] == k) & (pair[1] == k)).sum() for k in range(81)]
        )
        counts = counts + torch.stack([same, each[0] + each[1] - same])
    wanted = group_iou(
        *counts.double().numpy(), classes, groups_of(dataset.metainfo)
    )
    assert found['1 0'] == pytest.approx(
        {k: 100 * v for k, v in wanted.items()}, rel=1e-5
    )


def test_checkpoints_are_averaged_and_kept(
    config, checkpoints, tmp_path, capsys, monkeypatch
):
    out = tmp_path / 'search.json'
    command = [config, *checkpoints, *SETTINGS, '--out', str(out)]
    assert search.main(command) == 0
    printed = capsys.readouterr().out
    kept = json.loads(out.read_text())
    assert kept['settings']['seed'] == 2
    means = search.averaged([kept['found'][p] for p in checkpoints])
    best = max(means, key=means.get)
    zoom, weight = best.split()
    assert f'best: zoom={zoom} weight={weight}: base_mIoU' in printed
    assert f'{means["2 1"]:8.1f}' in printed

    monkeypatch.setattr(search, 'search', None)  # nothing is left to do
    assert search.main(command) == 0
    assert (
        printed.splitlines()[-4:]
        == (capsys.readouterr().out.splitlines()[-4:])
    )


@pytest.mark.parametrize('seed', [0, 1])
def test_scenes_of_training_and_testing_are_refused(seed, capsys):
    assert search.main(['any', 'any.pth', '--seed', str(seed)]) == 1
    assert 'choose another' in capsys.readouterr().err


def test_a_config_without_dense_scores_is_an_error(capsys):
    plain = 'lseg_shapes-clip-dpt_shapes'
    assert search.main([plain, 'any.pth']) == 1
    assert 'has no model.dense' in capsys.readouterr().err
