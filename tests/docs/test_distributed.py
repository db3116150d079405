"""The settings of ``distributed.md`` are those that mmengine has."""

import inspect

import mmengine._strategy  # noqa: F401
import mmengine.runner  # noqa: F401
import pytest
from mmengine import registry

from tests.test_docs import ROOT, blocks

BLOCKS = blocks(ROOT / 'docs/en/distributed.md', 'python')


@pytest.mark.parametrize('text', BLOCKS, ids=['FSDP', 'DeepSpeed'])
def test_a_strategy_and_its_options_exist(text):
    scope = {}
    exec(text, scope)  # our own page
    assert registry.RUNNERS.get(scope['runner_type']) is not None
    for kind, options in (
        (registry.STRATEGIES, scope['strategy']),
        (registry.OPTIM_WRAPPERS, scope['optim_wrapper']),
    ):
        options = dict(options)
        found = kind.get(options.pop('type'))
        named = set(inspect.signature(found).parameters)
        for base in inspect.getmro(found):
            named |= set(inspect.signature(base.__init__).parameters)
        assert set(options) - {'optimizer'} <= named, options
    wrapper = scope['strategy'].get('model_wrapper', {})
    for part in wrapper.values():
        assert registry.FUNCTIONS.get(part['type']) is not None
