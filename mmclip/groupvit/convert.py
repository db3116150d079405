"""Turn GroupViT's published checkpoints into ours, and ours into theirs.

Layouts: ``ours`` (an mmengine checkpoint), ``authors`` (the same names under
``model``) and ``hf`` (Hugging Face's ``GroupViTModel``).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmclip.checkpoint import CheckpointError, load_passing_over
from mmclip.clip.conversion import known_target
from mmclip.files import write_whole
from mmclip.groupvit.layouts import (
    DERIVED,
    Place,
    layout_of,
    our_name,
    place_of,
    settings_of,
)

LAYOUTS = ('ours', 'authors', 'hf')
PROMPT_SCALE = 'multi_label_logit_scale'
# Settings and training state that the authors store beside the weights; names
# of other packages are not resolved.
PASSED_OVER = ('omegaconf.', 'yacs.', 'typing.', 'collections.', 'argparse.')


@dataclass
class Report:
    """What a conversion did, and what it could not.

    Attributes:
        steps: Each entry: source names, target names, shapes, what was done.
        absent: Entries of the network that the source does not fill.
        unused: Entries of the source that are not the network's.
        derived: Entries of the source that follow from others.
        dropped: Entries that the target's layout does not have.
    """

    steps: list[tuple] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    derived: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether both sides fit."""
        return not (self.absent or self.unused)

    def lines(self) -> Iterator[str]:
        """Yield the report, line by line."""
        for source, target, shape, moved in self.steps:
            yield (
                f'{" + ".join(source)} -> {" + ".join(target)} {list(shape)}'
                f'{moved and f" ({moved})"}'
            )
        for what, names in (
            ('not in the source', self.absent),
            ("unknown, not the network's", self.unused),
            ('follows from others, left out', self.derived),
            ('no place in the target layout, left out', self.dropped),
        ):
            yield from (f'{what}: {name}' for name in names)
        yield (
            f'{len(self.steps)} entries converted, {len(self.absent)} '
            f'missing, {len(self.unused)} unknown, {len(self.derived)} '
            f'derived, {len(self.dropped)} without a place'
        )


def read_released(path: str | Path) -> dict[str, np.ndarray]:
    """Read the weights of a checkpoint of any layout; nothing is run.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: It asks to run something, is cut short, or holds no
            arrays.
    """
    import torch

    stored = load_passing_over(path, PASSED_OVER)
    for key in ('state_dict', 'model'):
        if isinstance(stored.get(key), Mapping):
            stored = stored[key]
    state = {
        name.removeprefix('module.'): value.float().numpy()
        if value.is_floating_point()
        else value.numpy()
        for name, value in stored.items()
        if isinstance(value, torch.Tensor)
    }
    if not state:
        raise CheckpointError(
            f"'{path}' holds no weights; its entries are {list(stored)[:5]}"
        )
    return state


def to_ours(
    source: Mapping[str, np.ndarray], report: Report
) -> dict[str, np.ndarray]:
    """Return a released state dict under our names.

    Args:
        source: Names and arrays, authors' or Hugging Face's.
        report: Gets the entries that could not be brought over.
    """
    derived = {name for name in source if DERIVED.fullmatch(name)}
    report.derived = sorted(derived)
    source = {k: v for k, v in source.items() if k not in derived}
    if layout_of(source) == 'authors':
        return dict(source)
    ours, used = {}, set()
    for place in places_in(source):
        absent = [name for name in place.theirs if name not in source]
        report.absent += absent
        used.update(place.theirs)
        if not absent:
            ours[place.key] = place.join([source[n] for n in place.theirs])
    report.unused = [name for name in source if name not in used]
    return ours


def places_in(source: Mapping) -> list[Place]:
    """Return the place of each of our entries, read off theirs.

    Every one of Hugging Face's names belongs to one entry of ours; which
    ours there are follows from which theirs there are.
    """
    found = {}
    for name in source:
        key = our_name(name)
        place = None if key is None else place_of(key)
        if place is not None and name in place.theirs:
            found[key] = place
    return list(found.values())


def check_against_network(
    state: dict[str, np.ndarray], settings: dict, report: Report
) -> None:
    """Compare names and shapes with the network that the sizes describe.

    Raises:
        ValueError: An entry has another shape than its place.
    """
    import torch

    from mmclip.groupvit.pretrainer import GroupViTPretrainer

    with torch.device('meta'):
        own = GroupViTPretrainer(**settings).state_dict()
    report.absent += [name for name in own if name not in state]
    report.unused += [name for name in state if name not in own]
    for name in own.keys() & state.keys():
        if tuple(own[name].shape) != state[name].shape:
            raise ValueError(
                f'{name} is {state[name].shape}, expected '
                f'{tuple(own[name].shape)} in a network of the other '
                "entries' sizes: the checkpoint is damaged or altered"
            )


def to_layout(
    ours: Mapping[str, np.ndarray], layout: str, report: Report
) -> dict[str, np.ndarray]:
    """Return our state dict in a layout.

    Raises:
        ValueError: The layout is unknown.
    """
    if layout not in LAYOUTS:
        raise ValueError(
            f"layout '{layout}': expected one of {', '.join(LAYOUTS)}"
        )
    if layout != 'hf':
        return dict(ours)
    target = {}
    for name, array in ours.items():
        place = place_of(name)
        if place is None:
            report.dropped.append(name)
            continue
        target.update(zip(place.theirs, place.split(array)))
    return target


def convert_state(
    source: Mapping[str, np.ndarray], layout: str = 'ours'
) -> tuple[dict[str, np.ndarray], dict, Report]:
    """Bring a state dict of any layout into another.

    Args:
        source: Names and arrays.
        layout: ``'ours'``, ``'authors'`` or ``'hf'``.

    Returns:
        The new state dict, the arguments of a ``GroupViTPretrainer`` that it
        fits, and what was done.

    Raises:
        ValueError: The source is no GroupViT, a shape does not fit, or the
            layout is unknown.
    """
    report = Report()
    ours = to_ours(source, report)
    settings = settings_of({name: a.shape for name, a in ours.items()})
    check_against_network(ours, settings, report)
    target = to_layout(ours, layout, report)
    from_hf = layout_of(source) == 'hf'
    for name, array in ours.items():
        place = place_of(name) or Place(name, (name,))
        if name in report.unused or name in report.dropped:
            continue
        before = place.theirs if from_hf else (name,)
        after = place.theirs if layout == 'hf' else (name,)
        moved = place.moved if before != after else ''
        report.steps.append((before, after, array.shape, moved))
    return target, settings, report


def convert_release(
    source: str | Path, target: str | Path, layout: str = 'ours'
) -> Report:
    """Convert a file; nothing is written where the two sides do not fit.

    Args:
        source: A checkpoint of any layout.
        target: ``.safetensors`` or ``.pth``.
        layout: The target's.

    Raises:
        ValueError: The target's name ends otherwise, or see
            :func:`convert_state`.
    """
    target = known_target(target)
    state, settings, report = convert_state(read_released(source), layout)
    if report.complete:
        write(target, state, layout, settings)
    return report


def write(target: Path, state: dict, layout: str, settings: dict) -> None:
    """Write a checkpoint; what was there stays until it is complete."""
    meta = {}
    if layout == 'ours':
        model = dict(type='mmclip.GroupViTPretrainer') | settings
        meta = dict(cfg=f"default_scope = 'mmclip'\nmodel = {model!r}\n")
    write_whole(
        target, lambda path: WRITERS[target.suffix](path, state, layout, meta)
    )


def write_safetensors(path: Path, state, layout: str, meta: dict) -> None:
    """Write arrays and, as JSON, the rest."""
    from safetensors.numpy import save_file

    arrays = {k: np.array(v, order='C') for k, v in state.items()}
    strings = {k: json.dumps(v) for k, v in meta.items()}
    save_file(arrays, path, {'format': 'pt'} | strings)


def write_pth(path: Path, state, layout: str, meta: dict) -> None:
    """Write what each side's own loader reads."""
    import torch

    tensors = {k: torch.from_numpy(np.array(v)) for k, v in state.items()}
    stored = {
        'ours': dict(meta=meta, state_dict=tensors),
        'authors': dict(model=tensors),
        'hf': tensors,
    }
    torch.save(stored[layout], path)


WRITERS = {'.safetensors': write_safetensors, '.pth': write_pth}
