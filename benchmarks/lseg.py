"""Time LSeg and its memory against the published order of operations.

Both sides segment the same image with the same random weights of ViT-L/16
(what the weights are decides no time), take turns, and are compared number by
number. "A user waits" counts the published text encoder, which runs at every
window there, and once a vocabulary here. Peak memory is of a process of its
own for each side, above what it holds once the weights are loaded.

Ends with 1 where the scores differ by more than 1e-4 of their norm, or a
figure is not reached.

K names; sizes in pixels.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import time
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

# started as a script, Python looks beside this file, not above it
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.lseg_published import PublishedLSeg, TextTower  # noqa: E402

CONFIG = 'lseg_vit-l16-dpt_8xb2-240e_ade20k-480x480'
TOLERANCE = 1e-4
NAMES, MANY_NAMES, SIDE = 150, 1000, 480
FASTER, FASTER_WITH_TEXT, FASTER_IN_BF16 = 1.15, 2.5, 1.6
MEMORY, GROWTH = 0.6, 1.2  # at most
SIDES = ('published', 'mmclip')


@dataclass
class Times:
    """Hold seconds of each turn, and how equal both sides are.

    ``text`` is the published text encoder's share of what a user waits;
    ``difference`` is relative to the norm of the scores, ``labels`` the share
    of pixels with the same name, ``seen`` how many names were found.
    """

    published: list[float] = field(default_factory=list)
    text: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    ours_bf16: list[float] = field(default_factory=list)
    difference: float = 0.0
    labels: float = 1.0
    labels_bf16: float = 1.0
    seen: int = 0

    def ratio(self, ours: list[float], with_text: bool = False) -> float:
        """Return the median of the turns' ratios, published over ours."""
        text = self.text if with_text else [0.0] * len(self.published)
        return median(
            (p + t) / o for p, t, o in zip(self.published, text, ours)
        )


# ---- what is measured ----


def published_model(names: int):
    """Build the ViT-L/16 of the recipe with random weights."""
    from mmengine.config import Config

    from mmclip.jobs import find_config

    config = Config.fromfile(find_config(CONFIG)).model
    config.backbone.weights = None
    config.neck.norm_cfg = dict(type='BN')
    config.decode_head.norm_cfg = None
    config.decode_head.phrases = None
    config.data_preprocessor.size = None
    config.test_cfg = dict(mode='whole')
    config.decode_head.vocabulary = dict(
        type='mmclip.Vocabulary', embed_dims=512, **random_names(names, 512)
    )
    return random_model(config)


def random_names(count: int, width: int) -> dict:
    """Return ``names`` and random ``embeddings`` (K, D)."""
    generator = torch.Generator().manual_seed(1)
    return dict(
        names=[f'name {k}' for k in range(count)],
        embeddings=torch.randn(count, width, generator=generator).numpy(),
    )


def random_model(config):
    """Build a segmentor and give its norms and biases random values."""
    from mmengine.registry import MODELS, DefaultScope

    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(config)
    with torch.no_grad():
        for _, value in model.named_parameters():
            if value.ndim == 1:
                value.add_(0.05 * torch.randn_like(value))
        for name, value in model.named_buffers():
            if name.endswith('running_var'):
                value.uniform_(0.5, 2)
    return model.eval()


def random_image(side: int) -> Tensor:
    """Return a normalised image of coloured blobs, (1, 3, side, side)."""
    generator = torch.Generator().manual_seed(2)
    small = torch.rand(1, 3, side // 16, side // 16, generator=generator)
    return 2 * F.interpolate(small, (side, side), mode='bicubic') - 1


def random_ids(names: int, tower: TextTower) -> Tensor:
    """Return token ids of short names, (K, length)."""
    generator = torch.Generator().manual_seed(3)
    words, length = tower.words.num_embeddings, len(tower.places)
    ids = torch.zeros(names, length, dtype=torch.long)
    ids[:, 0], ids[:, 3] = words - 2, words - 1  # start and end
    ids[:, 1:3] = torch.randint(1, words - 2, (names, 2), generator=generator)
    return ids


def has_bf16() -> bool:
    """Tell whether this CPU multiplies bfloat16."""
    return torch.cpu._is_avx512_bf16_supported() or (
        torch.cpu._is_amx_tile_supported()
    )


def label_with(model, image: Tensor) -> Tensor:
    """Segment as a user does, labels (H, W)."""
    return model.predict(image)[0].pred_sem_seg.data[0]


@torch.no_grad()
def measure(model, tower: TextTower, image: Tensor, turns: int) -> Times:
    """Let both sides take turns.

    Args:
        model: Ours; its weights are the published side's too.
        tower: The published side's text encoder.
        image: Normalised image (1, 3, H, W).
        turns: How many; each side begins every other one.
    """
    published, texts = PublishedLSeg(model), model.decode_head.vocabulary
    ids = random_ids(len(texts), tower)
    sides = dict(
        ours=lambda: label_with(model, image),
        published=lambda: published(image, texts.embeddings).argmax(dim=1)[0],
        text=lambda: tower(ids),
    )
    if has_bf16():
        small = deepcopy(model).compute_in(torch.bfloat16)
        sides['ours_bf16'] = lambda: label_with(small, image)
    times = Times()
    for turn in range(turns):
        order = list(sides) if turn % 2 == 0 else list(sides)[::-1]
        found = {side: timed(times, side, sides[side]) for side in order}
        print(f'turn {turn + 1} of {turns}', file=sys.stderr, flush=True)
    theirs = published(image, texts.embeddings)
    gap = model(image, mode='tensor') - theirs
    times.difference = float(gap.norm() / theirs.norm())
    times.labels = agreement(found, 'ours')
    times.labels_bf16 = agreement(found, 'ours_bf16')
    times.seen = len(found['published'].unique())
    return times


def timed(times: Times, side: str, run) -> Tensor:
    """Run a side and note its seconds."""
    start = time.perf_counter()
    found = run()
    getattr(times, side).append(time.perf_counter() - start)
    return found


def agreement(found: dict[str, Tensor], side: str) -> float:
    """Return the share of pixels that a side names as the published one."""
    if side not in found:
        return 1.0
    return float((found[side] == found['published']).float().mean())


# ---- memory ----


@torch.no_grad()
def peak_memory(model, side: str, image: Tensor) -> float:
    """Return MB that segmenting takes above what is held before; Linux.

    A first pass over a corner pages in the libraries, and memory that was
    freed since then goes back to the system before anything is read.
    """
    if side == 'published':
        network = PublishedLSeg(model)
        texts = model.decode_head.vocabulary.embeddings

        def run(x):
            return network(x, texts).argmax(dim=1)
    else:

        def run(x):
            return label_with(model, x)

    run(image[:, :, :32, :32].contiguous())
    ctypes.CDLL(None).malloc_trim(0)
    Path('/proc/self/clear_refs').write_text('5')  # the peak starts anew
    before = resident('VmRSS')
    kept = run(image)
    peak = resident('VmHWM') - before
    assert kept.numel() > 0
    return peak


def resident(key: str) -> float:
    """Return MB of a line of /proc/self/status."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    raise KeyError(key)


def memory_of(side: str, names: int, threads: int) -> float:
    """Measure a side in a process of its own.

    Tensors of a megabyte or more then go back to the system when they are
    freed, on both sides, so that the figure is of what was needed and not of
    what the allocator kept.
    """
    environment = dict(os.environ, MALLOC_MMAP_THRESHOLD_=str(1 << 20))
    command = [sys.executable, __file__, '--memory-of', side]
    command += ['--names', str(names), '--threads', str(threads)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env=environment
    )
    return json.loads(done.stdout.splitlines()[-1])


# ---- the report ----


def report(times: Times) -> int:
    """Print the seconds and ratios; 1 where one is not reached."""
    waits = [p + t for p, t in zip(times.published, times.text)]
    for name, seconds in (
        ('published order', times.published),
        ('  and its text encoder', waits),
        ('mmclip', times.ours),
        ('mmclip in bfloat16', times.ours_bf16),
    ):
        if seconds:
            print(f'{name:<26}{median(seconds):8.2f} s a window (median)')
    wrong = line('text given', times.ratio(times.ours), FASTER)
    wrong += line(
        'as a user waits', times.ratio(times.ours, True), FASTER_WITH_TEXT
    )
    if times.ours_bf16:
        wrong += line(
            'bfloat16, text given',
            times.ratio(times.ours_bf16),
            FASTER_IN_BF16,
        )
        print(f'  same labels in bfloat16: {100 * times.labels_bf16:.2f} %')
    else:
        print('bfloat16: not measured, this CPU has no instructions for it')
    print(
        f'largest difference {times.difference:.1e} of the norm '
        f'(<= {TOLERANCE:.0e}), same labels {100 * times.labels:.3f} %, '
        f'{times.seen} names seen'
    )
    return int(wrong > 0 or times.difference > TOLERANCE)


def line(what: str, ratio: float, wanted: float) -> bool:
    """Print one ratio; tell whether it is too small."""
    print(f'{what:<26}{ratio:8.2f} times faster (wanted: {wanted})')
    return ratio < wanted


def report_memory(published: float, ours: float, many: float) -> int:
    """Print the peaks above the weights; 1 where one is too high."""
    print(
        f'peak above the weights, {NAMES} names: published {published:.0f} '
        f'MB, mmclip {ours:.0f} MB, ratio {ours / published:.2f} '
        f'(<= {MEMORY})'
    )
    print(
        f'mmclip, {MANY_NAMES} names: {many:.0f} MB, {many / ours:.2f} times '
        f'that of {NAMES} (< {GROWTH})'
    )
    return int(ours > MEMORY * published or many >= GROWTH * ours)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--turns', type=int, default=5)
    parser.add_argument('--names', type=int, default=NAMES)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--memory-of', choices=SIDES, help='one peak, in MB')
    parser.add_argument('--json', metavar='FILE', help='keep the figures')
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    image = random_image(SIDE)
    if args.memory_of:
        model = published_model(args.names)
        print(json.dumps(peak_memory(model, args.memory_of, image)))
        return 0
    print(
        f'LSeg ViT-L/16, {SIDE} x {SIDE}, {args.names} names, random weights, '
        f'{args.threads} threads, torch {torch.__version__}, CPU'
    )
    peaks = [
        memory_of(side, names, args.threads)
        for side, names in (
            ('published', args.names),
            ('mmclip', args.names),
            ('mmclip', MANY_NAMES),
        )
    ]
    times = measure(
        published_model(args.names), TextTower().eval(), image, args.turns
    )
    if args.json:
        Path(args.json).write_text(json.dumps([peaks, asdict(times)]))
    return report(times) | report_memory(*peaks)


if __name__ == '__main__':
    sys.exit(main())
