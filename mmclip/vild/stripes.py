"""Share the shards of a folder among ranks."""

from pathlib import Path

from mmclip.clip.ranks import Progress, Rank
from mmclip.vild.shards import fault_of, shard_ranges


def open_stripe(
    folder: Path, num_images: int, shard_size: int, rank: Rank, every=10.0
) -> tuple[list[tuple[int, range]], Progress]:
    """Return this rank's shards that are not whole yet, checksums compared.

    Returns:
        ``[(number, images), ...]`` and their progress.
    """
    ranges = shard_ranges(num_images, shard_size)
    left, whole = [], 0
    for number in rank.numbers(len(ranges)):
        images = ranges[number]
        fault = fault_of(folder, number, len(images), thorough=True)
        if fault:
            left.append((number, images))
        whole += not fault
    progress = Progress(sum(len(i) for _, i in left), rank, every)
    progress.say(f'{whole} shards are whole, {len(left)} to do')
    return left, progress
