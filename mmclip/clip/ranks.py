"""Say which process of how many this is, and how far its work is."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Rank:
    """Say which process of how many this is; torchrun sets the two."""

    rank: int = 0
    world: int = 1

    @classmethod
    def from_environment(cls) -> 'Rank':
        """Read RANK and WORLD_SIZE; one process where they are absent."""
        return cls(
            int(os.environ.get('RANK', 0)),
            int(os.environ.get('WORLD_SIZE', 1)),
        )

    def numbers(self, count: int) -> range:
        """Return the shares of this rank, of ``count``."""
        return range(self.rank, count, self.world)


class Progress:
    """Count images and print a line now and then, with the time left.

    Args:
        total: Images of this rank that are still to do.
        rank: Its number leads each line.
        every: Seconds between two lines.
    """

    def __init__(self, total: int, rank: Rank, every: float = 10.0):
        self.total, self.every = total, every
        self.lead = f'rank {rank.rank}: ' if rank.world > 1 else ''
        self.done, self.start = 0, time.monotonic()
        self.last = self.start

    def over(self, items: Iterable) -> Iterator:
        """Yield ``items``, each of which is one image."""
        for item in items:
            yield item
            self.done += 1
            now = time.monotonic()
            if now - self.last >= self.every or self.done == self.total:
                self.last = now
                self.say(self.line(now - self.start))

    def line(self, seconds: float) -> str:
        """Say how far the work is after so many seconds."""
        speed = self.done / max(seconds, 1e-9)
        left = timedelta(seconds=round((self.total - self.done) / speed))
        return (
            f'{self.done} of {self.total} images, {speed:.1f} images/s, '
            f'{left} left'
        )

    def say(self, text: str) -> None:
        """Print a line to stderr."""
        print(f'{self.lead}{text}', file=sys.stderr, flush=True)


def rank_device() -> str:
    """Return the CUDA device of this rank (LOCAL_RANK), or the CPU."""
    import torch

    if not torch.cuda.is_available():
        return 'cpu'
    local = int(os.environ.get('LOCAL_RANK', 0))
    return f'cuda:{local % torch.cuda.device_count()}'
