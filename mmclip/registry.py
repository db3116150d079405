"""Child registries of mmengine's: ``type='mmclip.X'`` works in any config.

mmengine imports this module when it meets the prefix ``mmclip.``, and the
modules in ``locations`` when it first looks for a name, so no config needs
``custom_imports``.
"""

import re
from difflib import get_close_matches

from mmengine import registry as root
from mmengine.registry import Registry


class HelpfulRegistry(Registry):
    """A registry that answers an unknown name with the nearest known ones."""

    def get(self, key: str):
        """Return the class registered as ``key``.

        Raises:
            KeyError: ``key`` is registered neither here nor in a parent; the
                message lists the nearest registered names.
        """
        found = super().get(key)
        if found is None and key.removeprefix('mmclip.').isidentifier():
            raise KeyError(self.unknown(key.removeprefix('mmclip.')))
        return found

    def unknown(self, name: str) -> str:
        """Say that ``name`` is not registered, and what is near to it."""
        package = missing_package(name)
        if package:
            return (
                f"'mmclip.{name}' needs the package '{package}', which "
                'is not installed: pip install "mmclip[lite]" brings it'
            )
        known = sorted(self.module_dict)
        near = get_close_matches(name, known, n=3, cutoff=0.5)
        hint = (
            f'did you mean {" or ".join(near)}?'
            if near
            else (f'registered are: {", ".join(known) or "none"}.')
        )
        return (
            f"'{name}' is not in the mmclip::{self.name} registry: {hint} "
            'A type of another package needs its prefix, such as '
            f"'mmdet.{name}'."
        )


def missing_package(name: str) -> str | None:
    """Return the package for want of which model ``name`` was left out."""
    from mmclip.models import MISSING

    return MISSING.get(name)


def root_registries() -> list[Registry]:
    """Return mmengine's own registries, the roots of all others."""
    return [r for r in vars(root).values() if isinstance(r, Registry)]


def near_types(typed: str, kind: str | None = None) -> list[str]:
    """Return the registered types that ``typed`` may have meant.

    Args:
        typed: A type as configs write it, with or without a prefix.
        kind: Name of the registry, such as ``'model'``; all by default.
    """
    names = {}
    for registry in root_registries():
        if kind in (None, registry.name):
            names.update({name: name for name in registry.module_dict})
            for scope, child in registry.children.items():
                names.update({f'{scope}.{n}': n for n in child.module_dict})
    bare = typed.split('.')[-1]
    near = get_close_matches(bare, set(names.values()), n=3, cutoff=0.6)
    full = [key for key, name in names.items() if name in near]
    return sorted(full, key=lambda key: near.index(names[key]))[:4]


def with_nearest_names(message: str) -> str:
    """Add near registered names to a registry's "is not in" message."""
    found = re.search(
        r'([\w.]+) is not in the (\w+)::([\w ]+) registry', message
    )
    if not found or 'did you mean' in message:
        return message
    near = near_types(found[1], found[3])
    hint = f' Did you mean {" or ".join(near)}?' if near else ''
    return message.split(' Please check')[0] + '.' + hint


def _child(parent: Registry, *locations: str) -> HelpfulRegistry:
    return HelpfulRegistry(
        parent.name, parent=parent, scope='mmclip', locations=list(locations)
    )


MODELS = _child(root.MODELS, 'mmclip.models')
TASK_UTILS = _child(root.TASK_UTILS, 'mmclip.models')
DATA = (
    'mmclip.clipasso.dataset',
    'mmclip.data.ov_datasets',
    'mmclip.data.ov_seg_dataset',
    'mmclip.data.pair_stream',
    'mmclip.data.semantic_datasets',
    'mmclip.data.shapes_dataset',
    'mmclip.data.shapes_pairs',
    'mmclip.data.shapes_tasks',
    'mmclip.data.transfer_datasets',
    'mmclip.data.zero_shot_segmentation',
    'mmclip.glip.dataset',
    'mmclip.lseg.captioned_images',
    'mmclip.lseg.zero_shot_datasets',
)
DATASETS = _child(root.DATASETS, *DATA)
TRANSFORMS = _child(
    root.TRANSFORMS,
    'mmclip.clipasso.transforms',
    'mmclip.glip.transforms',
    'mmclip.groupvit.transforms',
    'mmclip.vild.transforms',
)
METRICS = _child(
    root.METRICS,
    'mmclip.evaluation',
    'mmclip.clipasso.metrics',
    'mmclip.lseg.zero_shot_metric',
)
EVALUATOR = _child(root.EVALUATOR, 'mmclip.evaluation')
HOOKS = _child(
    root.HOOKS,
    'mmclip.hooks',
    'mmclip.data.pair_hook',
    'mmclip.clipasso.hooks',
    'mmclip.clipasso.loop',
    'mmclip.glip.tuning',
    'mmclip.groupvit.pictures',
)
FUNCTIONS = _child(root.FUNCTIONS, 'mmclip.data.collate')
LOOPS = _child(root.LOOPS, 'mmclip.clipasso.loop')

# So that `default_scope='mmclip'` finds samplers, optimisers and the like in
# mmengine without a warning for each.
for _parent in root_registries():
    if 'mmclip' not in _parent.children:
        _child(_parent, __name__)
