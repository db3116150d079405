"""Write the shapes world as folders that other tools read.

One function, ``export``, knows every view: ``coco`` (detection, instances),
``ade`` (semantic maps), ``odvg`` (captions, phrases, boxes), ``pairs`` and
``webdataset`` (images and texts), ``photos`` (with mattes). Item ``i`` follows
from ``(seed, i)``; the same command writes the same bytes on every machine,
goes on where it was interrupted, and does nothing where all is there.
"""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from mmclip.data.shapes_concepts import SPLITS
from mmclip.data.shapes_files import tar_bytes, write_file
from mmclip.data.shapes_formats import (
    VIEWS,
    Order,
    shard_name,
    to_json,
    to_lines,
)

PARTS = '.parts'  # what an interrupted export has done already


def export(
    view: str,
    folder: str | Path,
    num_images: int,
    *,
    seed: int = 0,
    size: int | None = None,
    objects_of: Sequence[str] | None = None,
    classes_of: Sequence[str] | None = None,
    vocabulary: str | None = None,
    crowded: bool = False,
    num_val: int = 0,
    shard: int = 1000,
    show: Callable[[int], object] | None = None,
) -> Path:
    """Write a view into a folder; what is there already is kept.

    Args:
        view: One of ``VIEWS``, which also holds its defaults.
        folder: Where; ``export.json`` there says what it was made of.
        num_images: How many items.
        seed: Item ``i`` follows from ``(seed, i)``.
        size: Side of the images in pixels; a crowd's default is 256.
        objects_of: Splits whose concepts are drawn.
        classes_of: Splits whose names are the classes.
        vocabulary: ``shapes-80`` or ``all``.
        crowded: Whether every scene holds 9 to 14 classes.
        num_val: Images of validation, for ``ade``: of seed ``seed + 1``,
            with objects of all classes.
        shard: Items of a tar file, and of what an interruption may cost.
        show: Is told how many items are done.

    Returns:
        The view's main annotation file, written last.

    Raises:
        ValueError: The arguments contradict one another, or the folder was
            begun with others.
    """
    if view not in VIEWS:
        raise ValueError(
            f"the shapes world has no view '{view}': choose from "
            f'{tuple(VIEWS)}'
        )
    kind = VIEWS[view]
    objects_of = tuple(objects_of or kind.objects_of)
    order = Order(
        view=view,
        num_images=num_images,
        seed=seed,
        size=size or (256 if crowded else kind.size),
        objects_of=objects_of,
        classes_of=tuple(classes_of or kind.classes_of or objects_of),
        vocabulary=vocabulary or kind.vocabulary,
        crowded=crowded,
        num_val=num_val,
        shard=shard,
    )
    return write(order, Path(folder), show or (lambda done: None))


def write(order: Order, folder: Path, show: Callable[[int], object]) -> Path:
    """Write what ``order`` says; see :func:`export`."""
    claim(folder, order)
    kind, parts = VIEWS[order.view], folder / PARTS
    target = folder / kind.target
    if not target.exists():
        total = order.num_images + order.num_val
        for start in range(0, total, order.shard):
            part = parts / f'{start:08d}.jsonl'
            stop = min(start + order.shard, total)
            if not part.exists():
                write_part(order, folder, part, range(start, stop), show)
            show(stop)
        for name, content in kind.close(order, read_parts(parts)).items():
            write_file(folder / name, content)
    shutil.rmtree(parts, ignore_errors=True)
    return target


def claim(folder: Path, order: Order) -> None:
    """Note in the folder what it is made of.

    Raises:
        ValueError: It is made of something else.
    """
    note, wanted = folder / 'export.json', to_json(asdict(order))
    if not note.exists():
        write_file(note, wanted)
    elif note.read_bytes() != wanted:
        kept = json.loads(note.read_bytes())
        new = json.loads(wanted)
        changed = sorted(k for k in new if kept.get(k) != new[k])
        raise ValueError(
            f'{folder} was begun with other settings, they differ in '
            f'{changed}: choose another folder, or remove that one'
        )


def write_part(order, folder: Path, part: Path, indices: range, show) -> None:
    """Write some items' files, then their records into ``part``."""
    kind, records, members = VIEWS[order.view], [], {}
    for done, index in enumerate(indices, indices.start + 1):
        files, record = kind.item(order, index)
        records.append(record)
        if kind.packed:
            members.update(files)
        else:
            for name, content in files.items():
                write_file(folder / name, content)
        show(done)
    if kind.packed:
        shard = shard_name(order, indices.start)
        write_file(folder / shard, tar_bytes(members))
    write_file(part, to_lines(records))


def read_parts(folder: Path) -> Iterator[dict]:
    """Yield the records of all parts, in order."""
    for part in sorted(folder.glob('*.jsonl')):
        for line in part.read_text(encoding='utf-8').splitlines():
            yield json.loads(line)


# ---- command line ----


def add_options(parser) -> None:
    """Add the options of ``mmclip shapes`` and ``tools/prepare/shapes.py``."""
    add = parser.add_argument
    add('view', choices=VIEWS, help='what to write')
    add('out', metavar='OUT', help='folder; the same again continues there')
    add('--images', type=int, required=True, metavar='N', help='how many')
    add('--seed', type=int, default=0, metavar='S', help='of the drawings')
    add('--size', type=int, metavar='PIXELS', help='side of the images')
    for what in ('objects', 'classes'):
        add(
            f'--{what}-of',
            nargs='+',
            choices=SPLITS,
            help=f'splits of the {what}; default: what suits the view',
        )
    names = 'whose concepts are drawn; default: what the view is for'
    add('--vocabulary', choices=('shapes-80', 'all'), help=names)
    add('--crowded', action='store_true', help='9 to 14 classes in a scene')
    add('--val-images', type=int, default=0, metavar='N', help='for ade')
    add('--shard', type=int, default=1000, metavar='N', help='items of a tar')


def run(args) -> int:
    """Export what the command line says, showing how far it is."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(args.view, total=args.images + args.val_images)
            target = export(
                args.view,
                args.out,
                args.images,
                seed=args.seed,
                size=args.size,
                objects_of=args.objects_of,
                classes_of=args.classes_of,
                vocabulary=args.vocabulary,
                crowded=args.crowded,
                num_val=args.val_images,
                shard=args.shard,
                show=lambda done: bar.update(task, completed=done),
            )
    except KeyboardInterrupt:
        print('interrupted: the same command goes on', file=sys.stderr)
        return 130
    print(f'written: {target}')
    return 0
