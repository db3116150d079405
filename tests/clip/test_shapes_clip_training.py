"""The tool that trains shapes-clip: honest, repeatable, resumable."""

import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def tool():
    path = ROOT / 'tools/train_shapes_clip.py'
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def options(folder, *more):
    return [
        f'--out={folder}/clip.safetensors',
        f'--work-dir={folder}',
        '--steps=4',
        '--portraits=8',
        '--scenes=4',
        '--workers=0',
        '--save-every=2',
        *more,
    ]


def test_no_unseen_combination_is_drawn(tool, tmp_path):
    args = tool.parse_args(options(tmp_path))
    among = tool.PairBatches(args, tokenizer=None).among
    assert {c.split for c in among} == {'base', 'novel'}


def test_captions_that_fit_are_no_negatives(tool, tmp_path):
    from mmclip.clip.shapes_clip import build_shapes_clip

    _, tokenizer = build_shapes_clip(tool.make_config())
    args = tool.parse_args(options(tmp_path, '--portraits=80'))
    images, ids, fits = tool.PairBatches(args, tokenizer)[0]
    assert [len(block) for block in images] == [20, 20, 20, 20, 4]
    assert ids.shape == (84, 48)
    assert fits.diagonal().all()
    assert fits.sum() > 84  # 'a circle' fits every circle


def test_the_loss_is_least_where_fitting_pairs_agree(tool):
    vectors = torch.eye(3)[[0, 0, 1]]
    fits = vectors @ vectors.T > 0.5
    right = tool.contrastive_loss(vectors, vectors, fits, torch.tensor(50.0))
    wrong = tool.contrastive_loss(
        vectors, vectors[[2, 0, 1]], fits, torch.tensor(50.0)
    )
    assert right.item() == pytest.approx(2 / 3 * 0.6931, abs=1e-3)  # ties
    assert wrong > 10


def test_a_resumed_run_ends_like_a_straight_one(tool, tmp_path, monkeypatch):
    straight, broken = tmp_path / 'straight', tmp_path / 'broken'
    tool.main(options(straight))

    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tool, 'release', stop)
        with pytest.raises(KeyboardInterrupt):
            tool.main(options(broken))
    tool.main(options(broken, '--resume'))
    first = load_file(straight / 'clip.safetensors')
    second = load_file(broken / 'clip.safetensors')
    assert first.keys() == second.keys()
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], rtol=0, atol=2e-3)
