"""Small mends that let the OpenMMLab packages of 2023 run on today's Python.

Each mend names the upstream line it mends, waits until that module is
imported and acts only where the fault is. ``MMCLIP_COMPAT=0`` turns all off.
docs/en/compatibility.md lists them.
"""

import os
import re
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

MENDS: dict[str, list[Callable]] = {}  # upstream module -> its mends
_ACTIVE: dict[str, str] = {}  # mend -> what it mends, once it has acted
LITE = "pip install 'mmcv-lite>=2.1,<2.2'"


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


class CheckpointError(RuntimeError):
    """A file is no checkpoint, or asks to run what a checkpoint need not."""


@mends('mmengine.runner.checkpoint')
def load_weights_only(checkpoint: ModuleType) -> None:
    """Checkpoints load, and nothing that a stranger pickled is run.

    mmengine 0.10.7 runner/checkpoint.py:347, 415, 438, 507 call torch.load
    bare: refused by torch >= 2.6 for mmengine's own HistoryBuffer, and run
    unchecked before; :371 unpickles downloads on any torch; onedl 0.10.12
    :91 falls back to weights_only=False. Can go when all are weights-only.
    """
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


def load_from_local(filename: str, map_location=None) -> dict:
    """Load a checkpoint from a local file; see :func:`read_checkpoint`."""
    file = Path(filename).expanduser()
    if not file.is_file():
        near = sorted(
            other.name
            for other in file.parent.glob('*')
            if other.suffix in ('.pth', '.pt', '.safetensors')
        )
        raise FileNotFoundError(
            f"there is no checkpoint '{filename}'; "
            f'its folder holds {near or "none"}: give the path of a .pth, '
            '.pt or .safetensors file'
        )
    return read_checkpoint(str(file), map_location)


def read_url(url: str, model_dir=None, map_location=None, progress=True):
    """Download a checkpoint once, then load it."""
    hub = import_module('torch.hub')
    folder = Path(model_dir or f'{hub.get_dir()}/checkpoints')
    file = folder / url.partition('?')[0].rpartition('/')[2]
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        hub.download_url_to_file(url, str(file), progress=progress)
    return read_checkpoint(str(file), map_location)


def read_checkpoint(file, map_location=None):
    """Load tensors, numbers and mmengine's logs from a file, nothing else.

    Args:
        file (str | BinaryIO): What torch.save wrote, or a ``.safetensors``
            file, whose metadata become ``meta`` (JSON values are decoded).
        map_location (str | torch.device, optional): As in torch.load.

    Raises:
        CheckpointError: The file asks for other classes or functions, is cut
            short, or is no checkpoint.
    """
    if str(file).endswith('.safetensors'):
        load = _load_safetensors
    else:
        recent = _numbers(import_module('torch').__version__) >= (2, 6)
        load = _load_weights_only if recent else _load_narrowly
    try:
        return load(file, map_location)
    except Exception as error:
        reason = _diagnose(file, error)
        if reason is None:  # the file is sound: no memory, no such device
            raise
        raise CheckpointError(f"checkpoint '{file}' {reason}") from None


def _load_safetensors(file, map_location):
    import json

    from safetensors import safe_open

    def decode(text):
        try:
            return json.loads(text)
        except ValueError:
            return text

    kind = type(map_location).__name__
    device = str(map_location) if kind in ('str', 'device') else 'cpu'
    with safe_open(file, 'pt', device) as stored:
        meta = {k: decode(v) for k, v in (stored.metadata() or {}).items()}
        state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    return {'meta': meta, 'state_dict': state}


def _load_weights_only(file, map_location):
    import torch

    allowed = [(known, name) for name, known in _allowed().items()]
    with torch.serialization.safe_globals(allowed):
        return torch.load(file, map_location, weights_only=True)


def _load_narrowly(file, map_location):
    """Do the same for torch < 2.6, whose weights_only is too narrow."""
    import _codecs
    import pickle
    from _compat_pickle import IMPORT_MAPPING

    import torch
    from torch._weights_only_unpickler import _get_allowed_globals

    names = {'_codecs.encode': _codecs.encode, **_get_allowed_globals()}
    names.update(_allowed())

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            module = IMPORT_MAPPING.get(module, module)  # __builtin__, ...
            if f'{module}.{name}' not in names:
                raise pickle.UnpicklingError(f'GLOBAL {module}.{name}')
            return names[f'{module}.{name}']

    narrow = ModuleType('narrow_pickle')
    narrow.Unpickler = Unpickler
    narrow.load = lambda stream, **kwargs: Unpickler(stream, **kwargs).load()
    return torch.load(
        file, map_location, pickle_module=narrow, weights_only=False
    )


STATISTICS = ('min', 'max', 'mean', 'current')


def _allowed() -> dict[str, object]:
    """Name what an mmengine checkpoint holds beside tensors."""
    import numpy as np
    from mmengine.logging.history_buffer import HistoryBuffer

    def history_method(owner, name):  # a log pickles its statistics so
        if owner is HistoryBuffer and name in STATISTICS:
            return getattr(owner, name)
        raise CheckpointError(f'GLOBAL getattr.{name}')

    array = np.array(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    names = {'numpy.ndarray': np.ndarray, 'numpy.dtype': np.dtype}
    for core in ('numpy.core', 'numpy._core'):  # numpy 1 and 2
        names[f'{core}.multiarray._reconstruct'] = array
        names[f'{core}.multiarray.scalar'] = scalar
    for kind in {type(np.dtype(code)) for code in '?bBhHiIlLqQefdFDSU'}:
        names[f'{kind.__module__}.{kind.__qualname__}'] = kind
    names[f'{HistoryBuffer.__module__}.HistoryBuffer'] = HistoryBuffer
    names['builtins.getattr'] = history_method
    return names


def _diagnose(file, error: Exception) -> str | None:
    """Say what is wrong with a file, or None where it is sound."""
    named = re.search(r'(?:GLOBAL|unrecognized function) (\S+)', str(error))
    found = _kind_of(Path(file)) if isinstance(file, str) else None
    refused = type(error).__name__ == 'UnpicklingError' and not found
    if named or refused:
        return (
            f'asks to run {named[1] if named else "a function"}; expected '
            'tensors, numbers and logs of mmengine. It was not run. Save the '
            "weights alone where the file comes from, torch.save({'state_dict'"
            ': model.state_dict()}, file), or as .safetensors'
        )
    return found and (
        f'{found}; expected what torch.save or safetensors wrote '
        f'({type(error).__name__}): download or copy it again'
    )


def _kind_of(file: Path) -> str | None:
    import zipfile

    size = file.stat().st_size
    with file.open('rb') as stream:
        head = stream.read(64)
    if file.suffix == '.safetensors':
        return f'({size} bytes) is cut short or no .safetensors file'
    if head.startswith(b'PK'):
        sound = zipfile.is_zipfile(file)
        names = zipfile.ZipFile(file).namelist() if sound else []
        if any(name.endswith('data.pkl') for name in names):
            return None
        return f'is {"another" if sound else "the start of a"} zip archive'
    if head.startswith(b'version https://git-lfs'):
        return 'is a git-lfs pointer, which git lfs pull replaces'
    if head.startswith(b'\x80'):
        return f'({size} bytes) is a cut or another pickle'
    return f'({size} bytes) begins with {head[:24]!r}'


# ---- what lacks -----------------------------------------------------------


def problems() -> list[tuple[str, str]]:
    """Return (what is wrong, the line that mends it) of this installation."""
    found = [*_wrong_versions(), *_wrong_mmcv(), *_wrong_binaries()]
    if sys.version_info >= (3, 12) and find_spec('setuptools') is None:
        what = 'setuptools is absent; mmengine takes distutils from it'
        found.append((what, 'pip install setuptools'))
    return found


WANTED = {
    'mmengine': ('0.10.4', '1'),
    'mmdet': ('3.3', '3.4'),
    'mmsegmentation': ('1.2.2', '1.3'),
}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r'\d+', version)[:3])


def _version(distribution: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _wrong_versions():
    for name, (low, high) in WANTED.items():
        version = _version(name)
        fork = 'mmdetection' if name == 'mmdet' else name
        if version is None and _version(f'onedl-{fork}'):
            continue
        if version is None:
            yield f'{name} is not installed', f"pip install '{name}>={low}'"
        elif not _numbers(low) <= _numbers(version) < _numbers(high):
            fix = f"pip install '{name}>={low},<{high}'"
            yield f'{name} {version} is used, not >={low},<{high}', fix


def _wrong_mmcv():
    full, lite = _version('mmcv'), _version('mmcv-lite')
    both = f'pip uninstall -y mmcv mmcv-lite; {LITE}'
    if find_spec('mmcv') is None:
        yield 'neither mmcv nor mmcv-lite is installed', LITE
    elif full and lite:
        yield f'mmcv {full} and mmcv-lite {lite} share one folder', both
    elif version := full or lite:
        if not (2,) <= _numbers(version) < (2, 2):
            what = f'mmcv {version} is used; mmdet and mmseg refuse >=2.2'
            yield what, both
        elif find_spec('mmcv._ext') is None:
            what = 'mmcv has no compiled ops, and MMCLIP_COMPAT=0 is set'
            yield what, 'unset MMCLIP_COMPAT'


def _wrong_binaries():
    fixes = {
        'torchvision': 'install the torchvision released with your torch',
        'mmcv._ext': f'pip uninstall -y mmcv; {LITE}',
    }
    for name, fix in fixes.items():
        try:
            if find_spec(name.partition('.')[0]) and find_spec(name):
                import_module(name)
        except Exception as error:
            yield f'{name} does not load: {error}', fix
