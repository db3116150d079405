"""Small mends that let the OpenMMLab packages of 2023 run on today's Python.

Each mend names the upstream line it mends, waits until that module is
imported and acts only where the fault is. ``MMCLIP_COMPAT=0`` turns all off.
docs/en/compatibility.md lists them.
"""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

MENDS: dict[str, list[Callable]] = {}  # upstream module -> its mends
_ACTIVE: dict[str, str] = {}  # mend -> what it mends, once it has acted


def mends(module: str) -> Callable:
    """Register a function that runs once ``module`` has been imported.

    The function takes the module and returns False where there was nothing
    to mend.
    """

    def register(mend: Callable) -> Callable:
        MENDS.setdefault(module, []).append(mend)
        return mend

    return register


def apply() -> None:
    """Set every mend up; each acts when the module it mends is imported."""
    if os.environ.get('MMCLIP_COMPAT') == '0' or _FINDERS[0] in sys.meta_path:
        return
    sys.meta_path.insert(0, _FINDERS[0])
    sys.meta_path.append(_FINDERS[1])  # last: a compiled mmcv is found first
    for name in MENDS:
        if name in sys.modules:
            _mend(sys.modules[name])


def active() -> list[tuple[str, str]]:
    """Return (name, what it mends) of each mend that has acted so far.

    A mend acts when its module is imported, so ask after the frameworks.
    """
    return sorted(_ACTIVE.items())


def _mend(module: ModuleType) -> None:
    for mend in MENDS.get(module.__name__, ()):
        if mend(module) is not False:
            _note(mend.__name__, mend)


def _note(name: str, mend: Callable) -> None:
    _ACTIVE[name] = mend.__doc__.partition('\n')[0].rstrip('.')


class _MendAfterImport:
    """Let the other finders find a module, and mend it after it has run."""

    def find_spec(self, name, path=None, target=None):
        if name not in MENDS:
            return None
        others = [f for f in sys.meta_path if f is not self]
        specs = (f.find_spec(name, path, target) for f in others)
        spec = next((spec for spec in specs if spec), None)
        if spec and spec.loader:
            run = spec.loader.exec_module

            def exec_module(module):
                run(module)
                _mend(module)

            spec.loader.exec_module = exec_module
        return spec


class StandInForMmcvOps:
    """The compiled ops of mmcv are absent: torchvision stands in.

    mmcv 2.1.0 utils/ext_loader.py:13 imports ``mmcv._ext``, which mmcv-lite
    has not, and no wheel of mmcv is built for torch > 2.4. Last of the
    finders, so a compiled one is found first. Can go when mmdet no longer
    imports ``mmcv.ops``.
    """

    def find_spec(self, name, path=None, target=None):
        """Offer the stand-in under the name of the compiled module."""
        return ModuleSpec(name, self) if name == 'mmcv._ext' else None

    def create_module(self, spec):
        """Build it; torch is imported here and not before."""
        return import_module('mmclip.ops').build_extension(spec.name)

    def exec_module(self, module):
        """Note that it is in use."""
        _note('stand_in_for_mmcv_ops', type(self))


_FINDERS = (_MendAfterImport(), StandInForMmcvOps())


# ---- packages and their configs -------------------------------------------


def find_package(package: str) -> ModuleSpec | None:
    """Find the module that a package or distribution name stands for."""
    from importlib import metadata

    try:
        brings = metadata.distribution(package).read_text('top_level.txt')
    except metadata.PackageNotFoundError:
        brings = None
    names = [package, *(brings or '').split()]
    specs = (find_spec(name) for name in names if name.isidentifier())
    return next((spec for spec in specs if spec and spec.origin), None)


def is_installed(package: str) -> bool:
    """Tell whether a package or distribution can be imported."""
    return find_package(package) is not None


def get_installed_path(package: str) -> str:
    """Return the folder of a package, editable installs included.

    Raises:
        ModuleNotFoundError: The package is not installed.
    """
    spec = find_package(package)
    if spec is None:
        raise ModuleNotFoundError(
            f"package '{package}' is not installed (or is a folder without "
            f'__init__.py): pip install {package}'
        )
    return os.path.dirname(spec.origin)


@mends('mmengine.utils.package_utils')
def find_packages_without_setuptools(package_utils: ModuleType) -> bool:
    """``_base_='mmdet::…'`` works without pkg_resources and when editable.

    mmengine 0.10.7 utils/package_utils.py:17, 48 import pkg_resources, which
    setuptools 82 dropped, and :80 misses PEP 660 editable installs. Can go
    with a release that uses importlib, as onedl-mmengine 0.10.12 does.
    """
    faulty = False
    for mended in (is_installed, get_installed_path):
        stock = getattr(package_utils, mended.__name__)
        if 'pkg_resources' in stock.__code__.co_names:
            faulty = True
            _replace_in_mmengine(stock, mended)
    return faulty


def _replace_in_mmengine(stock: Callable, mended: Callable) -> None:
    """Replace a function under each name by which mmengine imported it."""
    for name, module in list(sys.modules.items()):
        ours = name.partition('.')[0] == 'mmengine'
        if ours and getattr(module, mended.__name__, None) is stock:
            setattr(module, mended.__name__, mended)


@mends('mmengine.config.utils')
def know_mmclip_configs(utils: ModuleType) -> None:
    """``_base_='mmclip::…'`` is known to mmengine.

    mmengine 0.10.7 config/utils.py:17 lists the packages whose configs can be
    inherited. Can go when mmclip is among them.
    """
    utils.MODULE2PACKAGE.setdefault('mmclip', 'mmclip')


@mends('transformers.modeling_utils')
def restore_pruning_helpers(modeling_utils: ModuleType) -> bool:
    """``import mmdet.models`` survives mmpretrain beside transformers >= 4.56.

    mmpretrain 1.2.0 models/multimodal/blip/language_model.py:17 imports three
    names that moved; its bare except then breaks line 123. Can go with an
    mmpretrain that imports them from transformers.pytorch_utils.
    """
    lacks = [name for name in PRUNING if not hasattr(modeling_utils, name)]
    if not lacks or find_spec('mmpretrain') is None:
        return False
    moved = import_module('transformers.pytorch_utils')
    for name in lacks:
        setattr(modeling_utils, name, getattr(moved, name, _gone(name)))
    return True


PRUNING = (
    'apply_chunking_to_forward',
    'find_pruneable_heads_and_indices',
    'prune_linear_layer',
)


def _gone(name: str) -> Callable:
    def helper(*args, **kwargs):
        raise NotImplementedError(
            f'transformers no longer has {name}, which this model of '
            "mmpretrain needs: pip install 'transformers<4.56'"
        )

    return helper


# ---- several processes without CUDA ---------------------------------------


@mends('mmengine.dist.utils')
def start_gloo_without_cuda(dist: ModuleType) -> bool:
    """``launcher='pytorch'`` with backend gloo starts on a CPU-only machine.

    mmengine 0.10.7 (and onedl 0.10.12) dist/utils.py:130 call
    torch.cuda.set_device for any backend. Can go when they ask first.
    """
    if dist.torch.cuda.is_available():
        return False
    stock = dist._init_dist_pytorch

    def start(backend: str, **kwargs) -> None:
        if backend != 'gloo' or kwargs.pop('init_backend', 'torch') != 'torch':
            return stock(backend, **kwargs)
        dist.torch_dist.init_process_group(backend, **kwargs)
        return None

    dist._init_dist_pytorch = start
    return True


@mends('mmengine.model.wrappers.distributed')
def wrap_cpu_models(wrappers: ModuleType) -> bool:
    """DistributedDataParallel accepts a model on CPU.

    mmengine 0.10.7 (and onedl) runner/runner.py:900, 911 pass
    device_ids=[LOCAL_RANK] to any model. Can go when they pass None on CPU.
    """
    if wrappers.torch.cuda.is_available():
        return False
    stock = wrappers.MMDistributedDataParallel.__init__

    def init(self, module, *args, **kwargs):
        if all(p.device.type == 'cpu' for p in module.parameters()):
            kwargs['device_ids'] = None
        stock(self, module, *args, **kwargs)

    wrappers.MMDistributedDataParallel.__init__ = init
    return True


# ---- checkpoints ----------------------------------------------------------


@mends('mmengine.runner.checkpoint')
def load_weights_only(checkpoint: ModuleType) -> None:
    """Checkpoints load, and nothing that a stranger pickled is run.

    mmengine 0.10.7 runner/checkpoint.py:347, 415, 438, 507 call torch.load
    bare: refused by torch >= 2.6 for mmengine's own HistoryBuffer, and run
    unchecked before; :371 unpickles downloads on any torch; onedl 0.10.12
    :91 falls back to weights_only=False. Can go when all are weights-only.
    """
    from mmclip.checkpoint import load_from_local, read_checkpoint, read_url

    guarded = _Guarded('torch')
    guarded.load = read_checkpoint
    checkpoint.torch = guarded
    checkpoint.load_url = read_url
    checkpoint._safe_torch_load = read_checkpoint  # the name in onedl
    register = checkpoint.CheckpointLoader.register_scheme
    register('', load_from_local, force=True)


class _Guarded(ModuleType):
    """torch as mmengine's checkpoint module sees it, with a safe ``load``."""

    def __getattr__(self, name):
        return getattr(import_module('torch'), name)
