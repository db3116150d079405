"""Say what is installed, what mmclip mends, and what is wrong."""

import re
import sys
from importlib import import_module
from importlib.util import find_spec

from mmclip import __version__, compat

LITE = "pip install 'mmcv-lite>=2.1,<2.2'"
PACKAGES = (
    'torch',
    'torchvision',
    'mmengine',
    'mmcv',
    'mmcv-lite',
    'mmdet',
    'mmsegmentation',
    'mmpretrain',
    'open_clip_torch',
    'pycocotools',
    'safetensors',
    'hotcoco',
    'transformers',
    'pydiffvg',
)


def report() -> int:
    """Print versions, active mends, and problems with their remedies.

    Returns:
        How many problems there are.
    """
    print(f'mmclip {__version__}, Python {sys.version.split()[0]}')
    for package in PACKAGES:
        print(f'  {package:<16} {_version(package) or "-"}')
    found = problems()
    if not found:  # a mend acts when its framework is imported
        for module in ('mmengine.runner', 'mmcv.ops', 'mmdet.models'):
            import_module(module)
    print('mends in use:')
    for name, text in compat.active():
        print(f'  {name}: {text}')
    for what, remedy in found:
        print(f'problem: {what}\n  mend it with: {remedy}')
    if not found:
        print('nothing is missing')
    return len(found)


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
