"""Stream image-text pairs to many readers, and know where each one is.

A reader is a worker process of a rank's data loader. Readers share out the
units of the sources (tar files, blocks of rows), shuffle where pairs *are*
before they fetch them, and give every pair its place in the stream along. So
the place of a batch's last pair is all that a checkpoint needs.

R readers, U units, P pairs.
"""

import io
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.dist import get_dist_info
from PIL import Image
from torch.utils.data import IterableDataset, get_worker_info

from mmclip.data.captions import caption_fault
from mmclip.data.pair_sources import source_of
from mmclip.registry import DATASETS


@dataclass
class Place:
    """How far a reader is.

    Attributes:
        epoch: Passes over the data that it ended.
        count: Pairs of this pass behind it, the skipped ones included.
        units: Units of this pass that were opened.
        given: Pairs given out, over all passes.
        skipped: What was left out and why, over all passes.
    """

    epoch: int = 0
    count: int = 0
    units: int = 0
    given: int = 0
    skipped: Counter = field(default_factory=Counter)

    def as_dict(self) -> dict:
        """Return it in plain types."""
        return dict(vars(self), skipped=dict(self.skipped))

    @classmethod
    def of(cls, state: dict) -> 'Place':
        """Read :meth:`as_dict`'s result."""
        return cls(**{**state, 'skipped': Counter(state['skipped'])})


@DATASETS.register_module()
class ImageTextStream(IterableDataset):
    """Read image-text pairs from files, without end or once.

    For a ``dataloader`` of a config with ``sampler=None``. What cannot be
    used is skipped and counted: ``mmclip.PairStreamHook`` reports it, and
    saves the places so that a resumed run goes on with the next pair.

    Every pair of a pass goes to one reader. The order follows from ``seed``,
    the pass and the number of readers, and so do the random numbers of a
    pair's transforms.

    Args:
        data: Folders, lists and tar shards, one or several; see
            :func:`mmclip.data.pair_sources.source_of`.
        pipeline: Transforms from ``img`` (uint8 BGR), ``caption`` and
            ``img_path`` (the pair's key) on.
        shuffle: Pairs among which the next one is drawn, in each reader;
            the units' order is drawn too. 0 for the order of the files.
        seed: Of all that is drawn.
        english_only: Whether captions in other languages are left out; see
            :func:`mmclip.data.captions.is_english`.
        min_side: Images with a shorter side are left out, in pixels.
        epochs: Passes over the data; None for no end.
        num_pairs: Pairs of a pass, about: mmengine asks for a length, but
            nothing that matters follows from it.
        lazy_init: Whether the files are looked for only when asked for.
    """

    def __init__(
        self,
        data: str | dict | Sequence,
        pipeline: Sequence = (),
        *,
        shuffle: int = 2000,
        seed: int = 0,
        english_only: bool = True,
        min_side: int = 1,
        epochs: int | None = None,
        num_pairs: int = 1_000_000,
        lazy_init: bool = False,
    ) -> None:
        self.data = [data] if isinstance(data, (str, dict)) else list(data)
        self.pipeline = Compose(pipeline)
        self.shuffle, self.seed, self.epochs = shuffle, seed, epochs
        self.english_only, self.min_side = english_only, min_side
        self.metainfo = dict(dataset_type='pairs')
        self.num_pairs = num_pairs
        self.places: dict[int, Place] = {}
        self.next_worker = 0
        self.sources, self.units = [], []
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Look for the files, as mmengine asks a data set to."""
        if self.units:
            return
        self.sources = [source_of(each) for each in self.data]
        self.units = [
            (s, u)
            for s, source in enumerate(self.sources)
            for u in range(len(source))
        ]  # U

    def __len__(self) -> int:
        """Return about how many pairs a pass has."""
        return self.num_pairs

    # ---- where readers are ----

    def resume(self, places: dict[int, dict], next_worker: int = 0) -> None:
        """Go on from the places of a checkpoint, in the next iteration.

        Args:
            places: :meth:`Place.as_dict` of this rank's workers.
            next_worker: Which of them gives the next batch.
        """
        self.places = {w: Place.of(state) for w, state in places.items()}
        self.next_worker = next_worker

    def reader(self) -> tuple[int, int, int]:
        """Return this process's worker, reader and the number of readers.

        A loader always asks its first process first, so after a resume the
        first process plays the worker whose turn it is.
        """
        rank, world = get_dist_info()
        info = get_worker_info()
        workers = info.num_workers if info else 1
        worker = ((info.id if info else 0) + self.next_worker) % workers
        return worker, rank * workers + worker, world * workers

    def __iter__(self) -> Iterator[dict]:
        """Yield what the pipeline makes of this reader's pairs.

        Each has ``stream``: the reader's worker and its place behind the
        pair, as JSON, which every collate function passes on.
        """
        worker, reader, readers = self.reader()
        place = self.places.get(worker, Place())
        place = Place.of(place.as_dict())
        while self.epochs is None or place.epoch < self.epochs:
            before = place.given if place.count == 0 else -1
            for sample in self.one_pass(place, reader, readers):
                here = dict(worker=worker, **place.as_dict())
                yield dict(sample, stream=json.dumps(here))
            self.check_progress(place, before, reader, readers)
            place.epoch += 1
            place.count = place.units = 0

    def check_progress(self, place, before, reader, readers) -> None:
        """Stop a reader that would look for a pair for ever.

        Raises:
            RuntimeError: A whole pass had none.
        """
        if self.epochs is None and place.given == before:
            raise RuntimeError(
                f'reader {reader} of {readers} found no usable pair in '
                f'{len(self.units)} units; left out: '
                f'{dict(place.skipped) or "nothing"}. Check the data, or use '
                'fewer workers if there are fewer pairs than readers'
            )

    # ---- a pass ----

    def one_pass(self, place: Place, reader: int, readers: int):
        """Yield the samples of a pass that are behind ``place``."""
        done = place.count
        entries = self.entries(place, reader, readers)
        for count, (owner, entry) in enumerate(entries, start=1):
            if count <= done:
                continue
            place.count = count
            rng = (self.seed, place.epoch, reader, count)
            sample = self.fetch(owner, entry, place.skipped, rng)
            if sample is not None:
                place.given += 1
                yield sample

    def entries(self, place: Place, reader: int, readers: int):
        """Yield where the pairs of a reader's pass are, in shuffled order."""
        if not self.shuffle:
            yield from self.in_order(place, reader, readers)
            return
        rng = np.random.default_rng([self.seed, place.epoch, reader])
        buffer = []
        for entry in self.in_order(place, reader, readers):
            buffer.append(entry)
            if len(buffer) > self.shuffle:
                yield draw(buffer, rng)
        while buffer:
            yield draw(buffer, rng)

    def in_order(self, place: Place, reader: int, readers: int):
        """Yield a reader's pairs unit by unit, counting the units' faults.

        Whole units are shared out where there are enough of them, else the
        pairs of every unit.
        """
        order = np.arange(len(self.units))
        if self.shuffle:
            np.random.default_rng([self.seed, place.epoch]).shuffle(order)
        whole = len(order) >= readers
        step = (reader, readers) if not whole else (0, 1)
        for opened, turn in enumerate(
            order[reader::readers] if whole else order
        ):
            owner, unit = self.units[turn]
            found = self.sources[owner].entries(unit)
            if opened >= place.units:  # else counted before the resume
                place.units = opened + 1
                if whole or opened % readers == reader:
                    place.skipped += found.faults
            for entry in found.entries[step[0] :: step[1]]:
                yield owner, entry

    # ---- a pair ----

    def fetch(self, owner: int, entry, skipped: Counter, rng) -> dict | None:
        """Read a pair and run its transforms; None, counted, if it is bad."""
        try:
            raw = self.sources[owner].read(entry)
        except FileNotFoundError:
            skipped['missing file'] += 1
            return None
        except (OSError, EOFError, ValueError, KeyError):
            skipped['unreadable file'] += 1
            return None
        fault = caption_fault(raw.caption, self.english_only)
        image = None if fault else decode(raw.image)
        if not fault and image is None:
            fault = 'broken image'
        elif not fault and min(image.shape[:2]) < self.min_side:
            fault = 'small image'
        if fault:
            skipped[fault] += 1
            return None
        return self.transform(image, raw, skipped, rng)

    def transform(self, image, raw, skipped: Counter, rng) -> dict | None:
        """Run the pipeline with random numbers of the pair's own."""
        results = dict(
            img=image,
            img_path=raw.key,
            img_shape=image.shape[:2],
            ori_shape=image.shape[:2],
            caption=' '.join(raw.caption.split()),
        )
        with seeded(rng):
            sample = self.pipeline(results)
        if sample is None:
            skipped['left out by the pipeline'] += 1
        return sample


def draw(buffer: list, rng: np.random.Generator):
    """Take one of a list, moving the last into its place."""
    row = int(rng.integers(len(buffer)))
    buffer[row], buffer[-1] = buffer[-1], buffer[row]
    return buffer.pop()


def decode(data: bytes) -> np.ndarray | None:
    """Decode an image file, uint8 BGR (H, W, 3); None if it is broken.

    OpenCV would fill up a file that is cut off with grey.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image.convert('RGB'))[..., ::-1].copy()
    except Exception:  # decoders of strangers' files raise what they like
        return None


@contextmanager
def seeded(words: Sequence[int]):
    """Seed all random generators within the block, then put them back."""
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()
    state = np.random.SeedSequence(words).generate_state(3)
    random.seed(int(state[0]))
    np.random.seed(state[1])
    torch.manual_seed(int(state[2]))
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        torch.set_rng_state(kept[2])
