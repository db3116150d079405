"""What every test may count on."""

import pytest
from mmengine.registry import DefaultScope

import mmclip  # noqa: F401  (its mends let mmdet be imported)


@pytest.fixture(autouse=True)
def mmdet_scope():
    """Bare names in mmdet's own defaults are mmdet's, as in a run."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture(autouse=True, scope='session')
def own_cache(tmp_path_factory):
    """Keep embeddings and weights of tests out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp('cache'))
        for cache in ('MMCLIP_CACHE', 'TORCH_HOME', 'XDG_CACHE_HOME'):
            patch.setenv(cache, folder)
        yield
