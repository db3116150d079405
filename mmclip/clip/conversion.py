"""Say where a published checkpoint's tensors went, and write what became.

Shared by the converters whose two sides are state dicts of torch.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mmclip.files import write_whole

SUFFIXES = ('.safetensors', '.pth')


@dataclass
class Report:
    """What a conversion did, and what it could not.

    Attributes:
        layout: Whose names the file has.
        moved: (published name, our name, shape) of each tensor.
        absent: Keys of our model that no tensor fills.
        homeless: Tensors with a known place that our model has not.
        reshaped: Tensors of another shape than their place.
        unknown: Tensors of no known place.
        unused: Tensors that the published network never reads.
        text: What became of a text tower, line by line.
        met: Our keys that a tensor reached.
    """

    layout: str = 'published'
    moved: list[tuple[str, str, tuple]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    homeless: list[str] = field(default_factory=list)
    reshaped: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    met: set[str] = field(default_factory=set, repr=False)

    def place(
        self,
        name: str,
        ours: str | None,
        value: Tensor,
        own: Mapping[str, Tensor],
    ) -> bool:
        """Note where a tensor goes, and tell whether it can go there.

        Args:
            name: The published one.
            ours: Our name, ``None`` where it has no place.
            value: The tensor.
            own: Our model's state dict.
        """
        shape = list(value.shape)
        if ours is None:
            self.unknown.append(f'{name} {shape}')
        elif ours not in own:
            self.homeless.append(f'{name} -> {ours} {shape}')
        elif own[ours].shape != value.shape:
            self.met.add(ours)
            self.reshaped.append(
                f'{name} {shape} -> {ours} {list(own[ours].shape)}'
            )
        else:
            self.met.add(ours)
            self.moved.append((name, ours, tuple(shape)))
            return True
        return False

    def close(self, wanted: Iterable[str]) -> None:
        """Note which of our keys ``wanted`` no tensor reached."""
        self.absent = [key for key in wanted if key not in self.met]

    @property
    def complete(self) -> bool:
        """Whether both sides fit."""
        return not (
            self.absent or self.homeless or self.reshaped or self.unknown
        )

    def lines(self) -> Iterator[str]:
        """Yield the report, line by line."""
        for theirs, ours, size in self.moved:
            yield f'{theirs} -> {ours} {list(size)}'
        for what, names in (
            ('not filled by any tensor', self.absent),
            ('no place in this config', self.homeless),
            ('of another shape', self.reshaped),
            ('unknown', self.unknown),
            ('not read by the published network, left out', self.unused),
        ):
            yield from (f'{what}: {name}' for name in names)
        yield from self.text
        yield (
            f'{self.layout} layout: {len(self.moved)} tensors converted, '
            f'{len(self.absent)} of ours missing, {len(self.homeless)} '
            f'without a place, {len(self.reshaped)} of another shape, '
            f'{len(self.unknown)} unknown, {len(self.unused)} unused'
        )


def known_target(target: str | Path) -> Path:
    """Return the path of a checkpoint to be written.

    Raises:
        ValueError: Its name does not say a format.
    """
    target = Path(target)
    if target.suffix not in SUFFIXES:
        raise ValueError(
            f"'{target}' ends in neither of .safetensors and .pth: name the "
            'target so that its format is known'
        )
    return target


def write_checkpoint(
    target: str | Path, state: Mapping[str, Tensor], meta: dict
) -> None:
    """Write a checkpoint that mmengine loads.

    Args:
        target: ``.safetensors`` or ``.pth``.
        state: Tensors.
        meta: The rest; goes into a ``.safetensors`` as JSON.

    Raises:
        ValueError: See :func:`known_target`.
    """
    target = known_target(target)

    def write(path: Path) -> None:
        if target.suffix == '.pth':
            torch.save(dict(meta=meta, state_dict=dict(state)), path)
            return
        from safetensors.torch import save_file

        tensors = {k: v.contiguous().clone() for k, v in state.items()}
        save_file(tensors, path, {k: json.dumps(v) for k, v in meta.items()})

    write_whole(target, write)
