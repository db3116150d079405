"""Read the tensors of a TorchScript archive without running its code.

OpenAI published CLIP as such archives. ``torch.jit.load`` would compile the
code they carry; only the pickled tree of modules and the raw storages are
read here, by an unpickler that knows tensors and nothing else.
"""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor

STORAGES = {
    'FloatStorage': torch.float32,
    'HalfStorage': torch.float16,
    'BFloat16Storage': torch.bfloat16,
    'DoubleStorage': torch.float64,
    'LongStorage': torch.int64,
    'IntStorage': torch.int32,
    'ByteStorage': torch.uint8,
    'BoolStorage': torch.bool,
}


class ScriptNode:
    """Stand in for a scripted module; its members are plain attributes."""


class TensorUnpickler(pickle.Unpickler):
    """Unpickle tensors, containers and :class:`ScriptNode`, or refuse."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(archive.open(f'{root}/data.pkl'))
        self.archive = archive
        self.root = root

    def find_class(self, module: str, name: str):
        """Return the stand-in for a pickled name; refuse any other."""
        if module.startswith('__torch__'):
            return ScriptNode
        if module == 'torch' and name in STORAGES:
            return STORAGES[name]
        if module == 'torch.jit._pickle' and name.startswith('build_'):
            return list
        known = {
            ('collections', 'OrderedDict'): OrderedDict,
            ('torch._utils', '_rebuild_tensor_v2'): rebuild_tensor,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f'{module}.{name} is not a tensor')
        return known[module, name]

    def persistent_load(self, pid: tuple) -> Tensor:
        """Return a storage as a flat tensor."""
        _, dtype, key, _, size = pid
        raw = bytearray(self.archive.read(f'{self.root}/data/{key}'))
        if not size:
            return torch.empty(0, dtype=dtype)
        return torch.frombuffer(raw, dtype=dtype, count=size)


def rebuild_tensor(storage: Tensor, offset, size, stride, *_) -> Tensor:
    """View a flat storage as the tensor that was saved."""
    return storage.as_strided(size, stride, offset)


def is_torchscript(path: str | Path) -> bool:
    """Tell whether ``path`` is an archive with code in it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any('/code/' in name for name in archive.namelist())


def read_torchscript(path: str | Path) -> dict[str, Tensor]:
    """Return every tensor of a scripted module by its dotted name.

    Args:
        path: A file written by ``torch.jit.save``.

    Raises:
        pickle.UnpicklingError: The archive holds something else.
    """
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if n.endswith('/data.pkl')]
        root = min(names, key=len).removesuffix('/data.pkl')
        tree = TensorUnpickler(archive, root).load()
    return dict(named_tensors(tree))


def named_tensors(node: ScriptNode, prefix: str = ''):
    """Yield ``(dotted name, tensor)`` of a node and all below it."""
    for name, member in vars(node).items():
        if isinstance(member, Tensor):
            yield prefix + name, member
        elif isinstance(member, ScriptNode):
            yield from named_tensors(member, f'{prefix}{name}.')
