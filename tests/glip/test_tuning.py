import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import HOOKS

from mmclip.glip.tuning import tune
from tests.glip.tiny import NAMES, build, images, sample, tiny_glip


def parts(names):
    found = set()
    for name in names:
        head, _, rest = name.partition('.')
        if head == 'bbox_head':
            head = rest.removeprefix('head.').partition('.')[0]
        found.add(head)
    return found


PROBED = {
    'bbox_pred',
    'centerness',
    'dot_product_projection_text',
    'log_scale',
    'bias_lang',
    'bias0',
}


@pytest.mark.parametrize(
    ('mode', 'wanted'),
    [
        ('linear_probe', PROBED),
        ('prompt_v1', {'language_model'}),
        ('prompt_v2', {'tunable_linear'}),
        ('prompt_v3', {'language_model'} | PROBED),
        ('prompt_v4', {'tunable_linear'} | PROBED),
    ],
)
def test_only_the_parts_of_a_mode_learn(mode, wanted):
    detector = build(tiny_glip(prompt_tokens=32))
    assert parts(tune(detector, mode)) == wanted
    before = {k: v.clone() for k, v in detector.named_parameters()}
    optimiser = torch.optim.AdamW(detector.parameters(), lr=0.1)
    sum(detector.loss(images(), [sample(NAMES, [1])]).values()).backward()
    optimiser.step()
    moved = {
        k for k, v in detector.named_parameters() if not v.equal(before[k])
    }
    assert parts(moved) == wanted


def test_everything_learns_in_full_mode():
    detector = build(tiny_glip())
    tune(detector, 'linear_probe')
    assert len(tune(detector, 'full')) == len(list(detector.parameters()))


@pytest.mark.parametrize('mode', ['prompt_v2', 'prompt_v4'])
def test_an_offset_must_be_there_to_be_learnt(mode):
    with pytest.raises(ValueError, match='model.prompt_tokens=1000'):
        tune(build(tiny_glip()), mode)


def test_a_frozen_language_model_learns_again():
    detector = build(tiny_glip())
    detector.language_model.frozen = True
    tune(detector, 'prompt_v1')
    losses = detector.loss(images(), [sample(NAMES, [1])])
    sum(losses.values()).backward()
    assert any(
        p.grad is not None for p in detector.language_model.parameters()
    )


def test_the_hook_freezes_and_keeps_frozen_parts_still():
    hook = HOOKS.build(dict(type='mmclip.TuningModeHook', mode='prompt_v1'))
    detector = build(tiny_glip())
    runner = SimpleNamespace(model=detector, logger=logging.getLogger('x'))
    hook.before_run(runner)
    detector.train()
    hook.before_train_iter(runner, 0)
    assert not detector.backbone.training
    assert not detector.bbox_head.training
    assert detector.language_model.training


def test_an_unknown_mode_is_refused():
    wrong = "mode='lora': expected one of full"
    with pytest.raises(ValueError, match=wrong):
        HOOKS.build(dict(type='mmclip.TuningModeHook', mode='lora'))
    with pytest.raises(ValueError, match=wrong):
        tune(build(tiny_glip()), 'lora')


def tuned_on_a_rank(rank: int) -> list[float]:
    """Three backward passes of a wrapped model that the hook froze."""
    from mmengine.model import MMDistributedDataParallel
    from mmengine.registry import DefaultScope

    def wrap(cfg, model):
        return MMDistributedDataParallel(model, broadcast_buffers=False)

    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = build(tiny_glip(prompt_tokens=32)).train()
    runner = SimpleNamespace(
        cfg={},
        logger=logging.getLogger('x'),
        model=wrap(None, detector),
        wrap_model=wrap,
    )
    hook = HOOKS.build(dict(type='mmclip.TuningModeHook', mode='prompt_v4'))
    hook.before_run(runner)
    found = []
    for _ in range(3):
        samples = [sample(NAMES, [rank])]
        losses = runner.model(images(1), samples, mode='loss')
        sum(losses.values()).backward()
        found.append(float(detector.tunable_linear.grad.abs().sum()))
    return found


@pytest.mark.dist
def test_ranks_do_not_wait_for_what_is_frozen():
    from tests.golden.ranks import run_ranks

    first, second = run_ranks(tuned_on_a_rank, (), 2)
    assert first == pytest.approx(second)
    assert first[0] > 0
