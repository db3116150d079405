"""Read checkpoints without running anything that is pickled in them.

``mmclip.compat`` puts these functions in the place of mmengine's own.
"""

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType


class CheckpointError(RuntimeError):
    """A file is no checkpoint, or asks to run what a checkpoint need not."""


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
        version = import_module('torch').__version__
        recent = [int(n) for n in re.findall(r'\d+', version)[:2]] >= [2, 6]
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


class PassedOver(dict):
    """Stands where a checkpoint names a class that is not wanted."""

    def __new__(cls, *args, **kwargs):
        """Take any arguments and keep none."""
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        super().__init__()

    def __setstate__(self, state):
        """Keep nothing."""


def load_passing_over(path: str | Path, prefixes: tuple[str, ...]) -> dict:
    """Load a published file whose settings name classes that are not wanted.

    Each such class becomes an empty one, so that torch's weights-only reader
    can pass over it; nothing of the file is run.

    Args:
        path: A .pth, .ckpt, .pt or .safetensors file.
        prefixes: How names that may be passed over begin.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: It names something else, or is cut short.
    """
    try:
        return load_from_local(str(path), 'cpu')
    except CheckpointError:
        stand_ins = _stand_ins(path, prefixes)
        if not stand_ins:
            raise
    torch = import_module('torch')
    with torch.serialization.safe_globals(stand_ins):
        return torch.load(path, 'cpu', weights_only=True)


def _stand_ins(path, prefixes: tuple[str, ...]) -> list[tuple]:
    """Return (empty class, name) for what a file names, or nothing.

    Nothing is returned where a name begins otherwise, and where this torch
    cannot list the names.
    """
    serialization = import_module('torch.serialization')
    listing = getattr(serialization, 'get_unsafe_globals_in_checkpoint', None)
    try:
        named = listing(path) if listing else []
    except (RuntimeError, ValueError):  # no zip archive
        return []
    if not all(name.startswith(prefixes) for name in named):
        return []
    return [(type('PassedOver', (PassedOver,), {}), name) for name in named]
