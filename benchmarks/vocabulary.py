"""Time the text embeddings of LVIS's names against a plain open_clip loop.

Both sides run the same randomly initialised text tower (the architecture
decides the time, the weights do not), take turns every ten names and are
compared number by number. Ends with 1 where they differ by more than 1e-5.
All 1203 names cost the plain loop an hour or two on two cores; ``--every 12``
lets it take one turn in twelve. Ratios are of the turns that both took.

Symbols: K names, T templates, D embedding width.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import open_clip
import torch
from rich.console import Console
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor

from mmclip.clip.prompts import PROMPT_SETS, VILD, PromptSet
from mmclip.clip.vocabulary import Vocabulary
from mmclip.clip.weights import build_clip, load_clip

TOLERANCE = 1e-5
WANTED, WANTED_CACHED = 3, 100  # times faster than open_clip's loop
SMALL_VISION = dict(image_size=32, patch_size=32, width=64, layers=1)


@dataclass
class Times:
    """Hold seconds of each side over the names that both embedded.

    ``alone`` are the seconds of our first use of all other names.
    """

    open_clip: float = 0.0
    first: float = 0.0
    second: float = 0.0
    difference: float = 0.0
    names: int = 0
    alone: float = 0.0


def lvis_names(count: int, seed: int = 0) -> list[str]:
    """Return some of the 1203 names of LVIS v1, shuffled."""
    from mmdet.datasets import LVISV1Dataset

    names = list(LVISV1Dataset.METAINFO['classes'])
    random.Random(seed).shuffle(names)
    return names[:count]


def text_config(model: str) -> dict:
    """Return a model's config with its text side and a tiny image side."""
    config = open_clip.get_model_config(model)
    keys = ('embed_dim', 'text_cfg', 'quick_gelu')
    kept = {k: config[k] for k in keys if k in config}
    return dict(kept, vision_cfg=SMALL_VISION)


def plain_loop(clip, tokenizer, names: list[str], prompts: str) -> Tensor:
    """Embed names as open_clip's zero-shot classifier does: (K, D)."""
    templates = [
        partial(write, template)
        for template in single_templates(PROMPT_SETS[prompts])
    ]
    return open_clip.build_zero_shot_classifier(
        clip, tokenizer, names, templates, num_classes_per_batch=10
    ).T


def single_templates(prompts: PromptSet) -> list[PromptSet]:
    """Return prompt sets of one template each."""
    return [
        PromptSet((t,), prompts.clean, prompts.introduce)
        for t in prompts.templates
    ]


def write(template: PromptSet, name: str) -> str:
    """Write a name into the one template of a set."""
    return template.sentences(name)[0]


def measure(
    config: dict,
    names: Sequence[str],
    templates: int,
    slice_size: int = 10,
    every: int = 1,
) -> Times:
    """Time both sides in slices of the names, taking turns.

    Args:
        config: open_clip's config of the model.
        names: K names.
        templates: T, the first of ViLD's.
        slice_size: Names a turn; what disturbs the machine then disturbs
            both sides.
        every: The plain loop takes part in one turn of so many.
    """
    prompts = PromptSet(VILD[:templates], introduce=True)
    with (
        TemporaryDirectory() as folder,
        patch.dict(os.environ, MMCLIP_CACHE=folder),
        patch.dict(PROMPT_SETS, benchmark=prompts),
    ):
        weights = save_random(config, Path(folder) / 'random.safetensors')
        sides = both_sides(config, weights)
        for side in sides:
            side(['warm up'])
        return take_turns(sides, list(names), slice_size, every)


def save_random(config: dict, path: Path) -> str:
    """Save a model with random weights; return the path."""
    torch.manual_seed(0)
    state = build_clip(config).state_dict()
    save_file({k: v.contiguous() for k, v in state.items()}, path)
    return str(path)


def both_sides(config: dict, weights: str) -> tuple[Callable, Callable]:
    """Return open_clip's way and ours, each from names to (K, D)."""
    clip, _ = load_clip(config, weights)
    tokenizer = open_clip.SimpleTokenizer(context_length=clip.context_length)
    encoder = dict(
        type='mmclip.CLIPTextEncoder', model=config, pretrained=weights
    )

    def theirs(names):
        return plain_loop(clip, tokenizer, names, 'benchmark')

    def ours(names):
        return Vocabulary(
            names, prompts='benchmark', text_encoder=encoder
        ).embeddings

    return theirs, ours


def take_turns(
    sides, names: list[str], slice_size: int, every: int = 1
) -> Times:
    """Let both sides embed slice after slice; each begins every other time.

    The second use of a slice builds a new vocabulary, which finds its
    embeddings in the cache.
    """
    times = Times()
    slices = [
        names[i : i + slice_size] for i in range(0, len(names), slice_size)
    ]
    console = Console(stderr=True)
    for k, part in enumerate(track(slices, 'embedding', console=console)):
        if k % every:
            timed(times, 'alone', sides[1], part)
        else:
            one_turn(times, sides, part, ours_first=k // every % 2 == 0)
    return times


def one_turn(times: Times, sides, part: list[str], ours_first: bool) -> None:
    """Embed some names on both sides and compare what they found."""
    theirs, ours = sides
    order = [('open_clip', theirs), ('first', ours)]
    found = {}
    for key, side in order[::-1] if ours_first else order:
        found[key] = timed(times, key, side, part)
    again = timed(times, 'second', ours, part)
    gap = max(
        (found['open_clip'] - found['first']).abs().max().item(),
        (found['open_clip'] - again).abs().max().item(),
    )
    times.difference = max(times.difference, gap)
    times.names += len(part)


def timed(times: Times, key: str, side: Callable, names: list[str]) -> Tensor:
    """Run a side and add its seconds to ``times``."""
    start = time.perf_counter()
    found = side(names)
    setattr(times, key, getattr(times, key) + time.perf_counter() - start)
    return found


def report(times: Times, names: int, templates: int) -> int:
    """Print both sides and their ratios; return the exit code."""
    first = times.open_clip / times.first
    second = times.open_clip / times.second
    print(
        f'{names} names x {templates} templates, '
        f'{times.names} names on both sides, '
        f'{torch.get_num_threads()} threads, torch {torch.__version__}, '
        f'open_clip {open_clip.__version__}'
    )
    print(f'open_clip, context 77 whole   {times.open_clip:9.2f} s')
    print(
        f'mmclip, first use             {times.first:9.2f} s   '
        f'{first:6.1f} times faster (wanted: {WANTED})'
    )
    print(
        f'mmclip, from its cache        {times.second:9.3f} s   '
        f'{second:6.0f} times faster (wanted: {WANTED_CACHED})'
    )
    if times.alone:
        rest = names - times.names
        print(f'mmclip, the other {rest} names {times.alone:9.2f} s')
    print(f'largest difference: {times.difference:.1e} (<= {TOLERANCE:.0e})')
    return int(times.difference > TOLERANCE)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 1 where the two sides do not agree."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--names', type=int, default=1203)
    parser.add_argument('--templates', type=int, default=len(VILD))
    parser.add_argument('--model', default='ViT-B-32')
    parser.add_argument(
        '--every', type=int, default=1, help='turns for one of the plain loop'
    )
    parser.add_argument('--threads', type=int, help="torch's; default: all")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    print(f'{args.model}, random weights, on the CPU')
    names = lvis_names(args.names)
    times = measure(
        text_config(args.model), names, args.templates, every=args.every
    )
    return report(times, len(names), min(args.templates, len(VILD)))


if __name__ == '__main__':
    sys.exit(main())
