"""From an image to a plain dict, without a config in sight."""

from importlib import import_module

_LAZY = {
    'Detector': 'detector',
    'GroundingInferencer': 'grounding',
    'Segmentor': 'segmentor',
    'Sketcher': 'sketcher',
}
__all__ = sorted(_LAZY)


def __getattr__(name: str):
    if name in _LAZY:
        module = import_module(f'mmclip.inference.{_LAZY[name]}')
        return getattr(module, name)
    raise AttributeError(
        f"module 'mmclip.inference' has no attribute '{name}'; it offers "
        f'{__all__} and its modules'
    )
