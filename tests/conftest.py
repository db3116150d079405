"""What every test may count on."""

import os

if 'PYTEST_XDIST_WORKER' in os.environ:  # before torch counts the cores
    os.environ.setdefault('OMP_NUM_THREADS', '1')

import pytest
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

import mmclip  # noqa: F401  (its mends let mmdet be imported)


def pytest_xdist_auto_num_workers(config):
    """Share the whole suite among the cores; a part of it runs in place."""
    if config.args_source is config.ArgsSource.TESTPATHS:
        return min(os.cpu_count() or 1, 4)
    return 0


@pytest.fixture(autouse=True)
def mmdet_scope():
    """Bare names in mmdet's own defaults are mmdet's, as in a run."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture(autouse=True)
def own_records():
    """Let no run write where another test's run of the same second does.

    mmengine names runs by the second, and what writes for a name is kept.
    """
    yield
    kinds = [MessageHub, MMLogger, Visualizer]
    while kinds:
        kind = kinds.pop()
        kind._instance_dict.clear()
        kinds += kind.__subclasses__()


@pytest.fixture(autouse=True, scope='session')
def own_cache(tmp_path_factory):
    """Keep embeddings and weights of tests out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp('cache'))
        for cache in ('MMCLIP_CACHE', 'TORCH_HOME', 'XDG_CACHE_HOME'):
            patch.setenv(cache, folder)
        yield
