"""Check the data of a config: build, read, count, draw a batch, print."""

import traceback
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from mmengine.dataset import BaseDataset
from mmengine.fileio import load
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import Runner

from mmclip.data.check import Finding, check_file, swapped_labels, ungrouped
from mmclip.data.tally import (
    HIDDEN,
    Tally,
    check_leak,
    check_tally,
    describe_extremes,
    describe_groups,
    groups_of,
)
from mmclip.registry import with_nearest_names

LONG = 1000  # images from which on a progress bar is shown


@dataclass
class Split:
    """Gather what is known of the training or the validation data."""

    tally: Tally = field(default_factory=Tally)
    metainfo: dict = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def report(cfg) -> int:
    """Print what the training and validation data hold, and their faults.

    Args:
        cfg: An mmengine config.

    Returns:
        How many faults would spoil a run.
    """
    splits = {}
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        for name in ('train', 'val'):
            loader = cfg.get(f'{name}_dataloader')
            if loader is None:
                print(f'{name}: the config has no {name}_dataloader')
                continue
            splits[name] = check_split(name, loader)
    leaks = find_leaks(splits)
    for leak in leaks:
        print(f'fault: {leak.text}')
    found = [*leaks, *(f for s in splits.values() for f in s.findings)]
    spoiling = sum(f.spoils for f in found)
    print(f'faults that spoil a run: {spoiling or "none"}')
    return spoiling


def find_leaks(splits: dict[str, Split]) -> list[Finding]:
    """Find labels of novel classes, as either split calls them, in training.

    Args:
        splits: ``train`` and ``val``, as far as they exist.
    """
    if 'train' not in splits:
        return []
    hidden = {
        name
        for split in splits.values()
        for group in HIDDEN
        for name in groups_of(split.metainfo).get(group, ())
    }
    train = splits['train']
    classes = train.metainfo.get('classes') or ()
    return check_leak(train.tally.labels, classes, hidden)


def check_split(name: str, loader: dict) -> Split:
    """Check one dataloader's data and print what comes out."""
    split = Split()
    kind = loader['dataset']['type']
    print(f'{name}: {kind if isinstance(kind, str) else kind.__name__}')
    try:
        dataset = build_unread(loader['dataset'])
        for leaf in leaves(dataset):
            check_leaf(leaf, split)
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
        describe(split)
        print(f'  first batch: {describe_batch(first_batch(loader, dataset))}')
    except Exception as error:  # whatever any dataset or transform raises
        split.findings.append(unusable(error))
    for finding in split.findings:
        print(f'  {"fault" if finding.spoils else "note"}: {finding.text}')
    return split


def unusable(error: Exception) -> Finding:
    """Turn an error of a dataset or its pipeline into a finding."""
    text = str(error.args[0]) if isinstance(error, KeyError) else str(error)
    text = with_nearest_names(' '.join(text.split()))
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f'{Path(frame.filename).name}, line {frame.lineno}'
    what = f'the data cannot be used, {type(error).__name__} ({place})'
    return Finding(f'{what}: {text}', True)


def build_unread(config: dict):
    """Build a dataset that has not read its annotations, where it can wait."""
    with DATASETS.switch_scope_and_registry(None) as registry:
        typed = config['type']
        kind = registry.get(typed) if isinstance(typed, str) else typed
        waits = isinstance(kind, type) and issubclass(kind, BaseDataset)
        lazy = dict(lazy_init=True) if waits else {}
        return registry.build(dict(config, **lazy))


def leaves(dataset) -> Iterator:
    """Yield the datasets that wrappers repeat, balance or join."""
    if hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from leaves(part)
    elif hasattr(dataset, 'dataset'):
        yield from leaves(dataset.dataset)
    else:
        yield dataset


def check_leaf(dataset, split: Split) -> None:
    """Check one dataset's file, then what it makes of it."""
    content = coco_content(dataset)
    if content is not None:
        split.findings += check_file(content)
    if hasattr(dataset, 'full_init'):
        with redirect_stdout(StringIO()):  # pycocotools talks
            dataset.full_init()
    metainfo = dict(getattr(dataset, 'metainfo', {}))
    split.metainfo = metainfo
    classes = metainfo.get('classes') or ()
    if content is not None:
        known = [*classes, *sum(groups_of(metainfo).values(), ())]
        split.findings += ungrouped(content, known)
        names = {c['id']: c['name'] for c in content.get('categories', [])}
        read_as = [names[i] for i in getattr(dataset, 'cat_ids', ())]
        split.findings += swapped_labels(classes, read_as)
    if not hasattr(dataset, 'get_data_info'):
        kind = type(dataset).__name__
        print(f'  {kind} has no get_data_info: its boxes cannot be checked')
        return
    tally = Tally()
    for i in progress(range(len(dataset))):
        tally.add(dataset.get_data_info(i))
    split.findings += check_tally(tally, classes)
    split.tally = joined(split.tally, tally)


def coco_content(dataset) -> dict | None:
    """Read a dataset's annotation file if it is one of COCO's kind."""
    path = getattr(dataset, 'ann_file', None)
    if not isinstance(path, str) or not path.endswith('.json'):
        return None
    if Path(path).is_file():
        size = Path(path).stat().st_size / 2**20
        print(f'  reading {path} ({size:.1f} MiB)', flush=True)
    content = load(path, backend_args=getattr(dataset, 'backend_args', None))
    coco = isinstance(content, dict) and {'images', 'annotations'} <= {
        *content
    }
    return content if coco else None


def joined(one: Tally, other: Tally) -> Tally:
    """Add two tallies up."""
    return Tally(
        **{
            key: value + getattr(other, key)
            for key, value in vars(one).items()
        }
    )


def progress(items):
    """Show a bar with the time left while many items are gone through."""
    from rich.console import Console
    from rich.progress import track

    return track(
        items,
        description='  counting',
        console=Console(stderr=True),
        disable=len(items) < LONG,
        transient=True,
    )


def describe(split: Split) -> None:
    """Print the counts of a split."""
    tally = split.tally
    boxes = sorted(tally.boxes)
    if not boxes:
        print(
            f'  {tally.images} images; their labels are read by the pipeline '
            'and are not checked'
        )
        return
    print(f'  {tally.images} images, {sum(boxes)} boxes')
    print(
        f'  boxes an image: {sum(boxes) / len(boxes):.1f} on average, '
        f'{boxes[0]} to {boxes[-1]}, half have {boxes[len(boxes) // 2]} '
        'or fewer'
    )
    print(f'  {describe_groups(tally.labels, split.metainfo)}')
    classes = split.metainfo.get('classes') or ()
    print(f'  {describe_extremes(tally.labels, classes)}')


def first_batch(loader: dict, dataset) -> dict:
    """Draw a batch through the real pipeline, sampler and collate."""
    options = {k: v for k, v in loader.items() if k != 'prefetch_factor'}
    options.update(dataset=dataset, num_workers=0, persistent_workers=False)
    return next(iter(Runner.build_dataloader(options)))


def describe_batch(batch) -> str:
    """Say what a batch holds, as far as it is of OpenMMLab's kind."""
    if not isinstance(batch, dict) or 'inputs' not in batch:
        return f'{type(batch).__name__}, which cannot be described'
    inputs = batch['inputs']
    if isinstance(inputs, dict):
        return f'inputs {sorted(inputs)}'
    shapes = sorted({tuple(image.shape) for image in inputs})
    text = f'{len(inputs)} images {", ".join(map(str, shapes[:3]))}'
    truths = [
        sample.gt_instances
        for sample in batch.get('data_samples', ())
        if 'gt_instances' in sample
    ]
    return f'{text}, {sum(map(len, truths))} boxes' if truths else text
