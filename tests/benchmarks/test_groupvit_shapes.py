import pytest
import torch

from benchmarks.groupvit_shapes import (
    KINDS_OF_BACKGROUND,
    best_group_iou,
    fast_iou,
    load,
    measure,
    name_pixels,
    pick_background,
    pick_threshold,
    release,
    said,
    scenes_of,
    table,
)
from mmclip.checkpoint import read_checkpoint
from mmclip.jobs import find_config
from mmclip.registry import MODELS

NAMES = ('red circle', 'blue square')


@pytest.fixture
def truth():
    truth = torch.zeros(2, 4, 4, dtype=torch.long)
    truth[0, :2] = 1
    truth[1, :, 3] = 2
    return truth


def test_both_ways_of_counting_agree(truth):
    found = truth.clone()
    found[0, 2] = 1  # four pixels too many: 8 of 12
    found[1, 0, 3] = 0  # one too few: 3 of 4
    expected = (8 / 12 + 3 / 4) / 2
    assert fast_iou(found, truth, 2) == pytest.approx(expected)
    assert measure(found, truth, NAMES)['names'] == pytest.approx(
        100 * expected, abs=0.01
    )
    assert measure(truth, truth, NAMES)['all'] == 100


def test_the_threshold_parts_names_from_the_background(truth):
    labels = (truth - 1).clamp(min=0)
    scores = torch.where(truth > 0, 0.8, 0.1)
    value, limit = pick_threshold(scores, labels, truth, NAMES)
    assert value == 1
    assert 0.1 < limit <= 0.8


def test_the_best_group_of_each_name_counts(truth):
    assert best_group_iou(truth, truth) == 100
    one = torch.zeros_like(truth)
    assert best_group_iou(one, truth) == pytest.approx((50 + 25) / 2)


@pytest.mark.parametrize('kind', ['groupvit', 'patch-clip'])
def test_a_model_is_written_read_and_names_pixels(kind, tmp_path):
    from mmengine.config import Config

    torch.manual_seed(0)
    towers = Config.fromfile(find_config(f'{kind}_shapes')).model
    state = MODELS.build(towers).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'iter_1.pth')
    release(tmp_path / 'iter_1.pth', tmp_path / 'a.safetensors')
    written = read_checkpoint(str(tmp_path / 'a.safetensors'))['state_dict']
    assert written['img_encoder.pos_embed'].dtype == torch.half
    model = load(kind, tmp_path / 'iter_1.pth')
    images, truth, names = scenes_of(3, 2, (1, 3))
    scores, labels, groups = name_pixels(model, images, names)
    assert scores.shape == labels.shape == truth.shape == (2, 48, 48)
    assert groups.max() < (8 if kind == 'groupvit' else 144)
    assert truth.max() <= len(names) == 21
    cosines, same, _ = name_pixels(model, images, names, 'cosine')
    assert (same == labels).float().mean() > 0.9
    assert not torch.allclose(cosines, scores)
    found, limit = pick_background(model, 2)
    assert found in KINDS_OF_BACKGROUND
    assert 0 <= limit <= 1


def test_the_two_models_have_about_as_many_parameters():
    from mmengine.config import Config

    counts = []
    for kind in ('groupvit', 'patch-clip'):
        model = MODELS.build(
            Config.fromfile(find_config(f'{kind}_shapes')).model
        )
        counts.append(sum(p.numel() for p in model.parameters()))
    assert max(counts) < 1.15 * min(counts)


def test_the_table_pairs_the_seeds():
    keys = [
        f'{s} {k}' for s in ('single', 'multi') for k in ('names', 'pixels')
    ]

    def run(value, **more):
        figures = dict.fromkeys([*keys, 'multi all'], value) | more
        return dict(figures=figures, spent=dict(cpu=60))

    groups = {'single best group': 9.0, 'multi best group': 9.0}
    text = table(
        {
            'groupvit': [run(30.0, **groups), run(50.0, **groups)],
            'patch-clip': [run(20.0), run(40.0)],
        }
    )
    assert '| 40.0 ± 14.1 | 30.0 ± 14.1 | 10.0 ± 0.0 |' in text
    assert said([1.0]) == '1.0'
