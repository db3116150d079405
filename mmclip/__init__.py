"""Everything that grew out of CLIP, as plug-ins for OpenMMLab runners.

``import mmclip`` is quick: it brings no framework with it. The one-line
functions below are imported when they are first asked for.
"""

from importlib import import_module

from mmclip import compat

__version__ = '0.1.0'
__all__ = ['detect', 'segment', 'sketch', '__version__']

_LAZY = {
    'detect': 'mmclip.inference.detector',
    'segment': 'mmclip.inference.segmentor',
    'sketch': 'mmclip.inference.sketcher',
}

compat.apply()


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(
        f"module 'mmclip' has no attribute '{name}'; it offers {sorted(_LAZY)}"
    )


def __dir__():
    return sorted([*globals(), *_LAZY])
