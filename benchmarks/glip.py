"""Time GLIP's head against mmdet's ATSSVLFusionHead, same weights and inputs.

mmdet's head needs transformers 4.53 or older, so this runs where that is
installed (``pip install 'transformers<4.54'``); ours needs none. Both sides
use the same deformable convolution (torchvision's, where mmcv is mmcv-lite),
take turns, and get the same words: 256 tokens, or a caption of COCO's 80
names (194 tokens), which mmdet pads to 256. A fusion layer's memory is
measured in a process of its own for each side. Long lists: mmdet runs the
head once for each caption of 40 names, ours all captions as a batch.

Ends with 1 where a result differs by more than 1e-3 of its norm.
"""

import argparse
import copy
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

TOKENS, COCO, LVIS = 256, 194, 118  # of 40 names as long as LVIS's
CHUNKS, ALL_CHUNKS = 4, 31  # 1203 names, 40 in a caption
SIZES = {'400x672': (400, 672), '800x1344': (800, 1344)}
WANTED = {TOKENS: 0.85, COCO: 0.7}
BERT = dict(
    hidden_size=768,
    num_attention_heads=12,
    intermediate_size=3072,
    model_type='bert',
    vocab_size=30522,
)
ANCHORS = dict(
    type='mmdet.AnchorGenerator',
    ratios=[1.0],
    octave_base_scale=8,
    scales_per_octave=1,
    strides=[8, 16, 32, 64, 128],
)


def mmdet_head(folder: Path, blocks: int = 6):
    """Build mmdet's head; ``folder`` gets the config that it reads."""
    from mmdet.models.dense_heads.atss_vlfusion_head import ATSSVLFusionHead

    (folder / 'config.json').write_text(json.dumps(BERT))
    return ATSSVLFusionHead(
        num_classes=80,
        in_channels=256,
        feat_channels=256,
        anchor_generator=ANCHORS,
        early_fuse=True,
        num_dyhead_blocks=blocks,
        lang_model_name=str(folder),
        bbox_coder=dict(
            type='mmdet.DeltaXYWHBBoxCoderForGLIP',
            target_stds=[0.1, 0.1, 0.2, 0.2],
        ),
    ).eval()


def our_head(theirs=None, blocks: int = 6):
    """Build our head, with their weights if given."""
    from mmclip.registry import MODELS

    head = MODELS.build(
        dict(
            type='mmclip.GLIPHead',
            num_dyhead_blocks=blocks,
            anchor_generator=ANCHORS,
            bbox_coder=dict(type='mmclip.GLIPBBoxCoder'),
            loss_cls=dict(type='mmclip.TokenFocalLoss'),
        )
    ).eval()
    if theirs is not None:
        head.load_state_dict(theirs.state_dict())
    return head


def levels_of(size: tuple[int, int], batch: int = 1) -> list[Tensor]:
    """Return five random levels of an image of (height, width)."""
    g = torch.Generator().manual_seed(0)
    height, width = (-(-side // 32) * 32 for side in size)
    levels = []
    for k in range(5):
        stride = 8 << k
        shape = (batch, 256, -(-height // stride), -(-width // stride))
        levels.append(torch.randn(*shape, generator=g))
    return levels


def words_of(tokens: int, batch: int = 1) -> dict[str, Tensor]:
    """Return words as mmdet has them: padded to 256."""
    g = torch.Generator().manual_seed(tokens)
    hidden = torch.randn(batch, TOKENS, 768, generator=g)
    masks = torch.zeros(batch, TOKENS, dtype=torch.long)
    masks[:, :tokens] = 1
    return dict(hidden=hidden, masks=masks, embedded=hidden * masks[..., None])


def own_copy(words: dict) -> dict:
    """Copy the dict, which mmdet's head writes into."""
    return dict(words)


def timed(function) -> tuple[float, object]:
    """Return seconds and result."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def difference(theirs, ours) -> float:
    """Return the largest relative distance of logits, boxes, centerness.

    Logits are compared where both have them, on words that are not padding.
    """
    worst = 0.0
    for a, b in zip(theirs, ours):
        for x, y in zip(a, b):
            x = x[..., : y.shape[-1]]
            worst = max(worst, float((x - y).norm() / x.norm()))
    return worst


@torch.no_grad()
def head_times(theirs, ours, size: str, tokens: int, repeats: int) -> dict:
    """Time a forward of both heads, in turns."""
    levels, words = levels_of(SIZES[size]), words_of(tokens)
    seconds = dict(mmdet=[], mmclip=[])
    for k in range(repeats):
        sides = [
            ('mmdet', lambda: theirs(levels, own_copy(words))),
            ('mmclip', lambda: ours(levels, own_copy(words))),
        ]
        results = {}
        for name, run in sides if k % 2 else sides[::-1]:
            spent, results[name] = timed(run)
            seconds[name].append(spent)
    found = {name: median(own) for name, own in seconds.items()}
    found['difference'] = difference(results['mmdet'], results['mmclip'])
    return found


@torch.no_grad()
def chunk_times(theirs, ours, size: str, chunks: int, repeats: int) -> dict:
    """Time captions one after another against a batch of them."""
    levels, words = levels_of(SIZES[size]), words_of(LVIS, chunks)

    def one_by_one():
        found = []
        for k in range(chunks):
            own = {key: value[k : k + 1] for key, value in words.items()}
            found.append(theirs(copy.deepcopy(levels), own))
        return [
            [torch.cat(level) for level in zip(*(one[part] for one in found))]
            for part in range(3)
        ]

    def together():
        rows = torch.zeros(chunks, dtype=torch.long)
        return ours([level[rows] for level in levels], own_copy(words))

    seconds = dict(mmdet=[], mmclip=[])
    for k in range(repeats):
        sides = [('mmdet', one_by_one), ('mmclip', together)]
        results = {}
        for name, run in sides if k % 2 else sides[::-1]:
            spent, results[name] = timed(run)
            seconds[name].append(spent)
    found = {name: median(own) for name, own in seconds.items()}
    found['difference'] = difference(results['mmdet'], results['mmclip'])
    return found


def peak_kb(reset: bool = False) -> int:
    """Return the most memory since the last reset, kB (Linux)."""
    if reset:
        Path('/proc/self/clear_refs').write_text('5')
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith('VmHWM'))


@torch.no_grad()
def fusion_peak(side: str, size: str, tokens: int) -> int:
    """Return by how many kB a fusion layer raises this process's peak."""
    levels, words = levels_of(SIZES[size]), words_of(tokens)
    if side == 'mmdet':
        from mmdet.models.utils.vlfuse_helper import VLFuse

        layer = VLFuse().eval()
    else:
        from mmclip.glip.fusion import BiAttentionFusion

        layer = BiAttentionFusion().eval()
    before = peak_kb(reset=True)
    if side == 'mmdet':
        layer(dict(visual=levels, lang=words))
    else:
        layer(levels, words['hidden'], words['masks'])
    return peak_kb() - before


def fusion_peaks(size: str, tokens: int) -> dict[str, int]:
    """Measure both sides, each in a process of its own."""
    found = {}
    for side in ('mmdet', 'mmclip'):
        command = [sys.executable, __file__, '--peak', side]
        command += ['--sizes', size, '--tokens', str(tokens)]
        done = subprocess.run(command, capture_output=True, check=True)
        found[side] = int(done.stdout.split()[-1])
    return found


def train_times(theirs, ours, size: str, device: str) -> dict:
    """Time forward and backward of both heads on a GPU, with its peak."""
    found = {}
    for name, head in (('mmdet', theirs), ('mmclip', ours)):
        head = head.to(device).train()
        levels = [
            x.to(device).requires_grad_() for x in levels_of(SIZES[size])
        ]
        words = {k: v.to(device) for k, v in words_of(COCO).items()}
        for _ in range(3):
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
            start = time.perf_counter()
            outputs = head(levels, own_copy(words))
            sum(x.mean() for part in outputs for x in part).backward()
            torch.cuda.synchronize()
            spent = time.perf_counter() - start
        peak = torch.cuda.max_memory_allocated() / 2**20
        found[name] = (spent, peak)
        head.to('cpu').eval()
    return found


def line(what: str, theirs, ours, unit: str, wanted: str) -> str:
    """Write both sides and their ratio."""
    return (
        f'{what:<44} mmdet {theirs:9.2f} {unit}  mmclip {ours:9.2f} {unit}  '
        f'ratio {ours / theirs:5.2f}  (wanted: {wanted})'
    )


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 1 where results differ."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--sizes', nargs='+', default=list(SIZES))
    parser.add_argument('--tokens', nargs='+', type=int, default=[256, 194])
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--blocks', type=int, default=6)
    parser.add_argument('--chunks', type=int, default=CHUNKS)
    parser.add_argument('--chunk-size', default='400x672', choices=SIZES)
    parser.add_argument('--threads', type=int, help="torch's; default: all")
    parser.add_argument('--device', help='cuda: a training step as well')
    parser.add_argument('--peak', choices=['mmdet', 'mmclip'])
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    import mmclip.ops  # noqa: F401  mmcv-lite then has what mmdet asks for

    if args.peak:
        print(fusion_peak(args.peak, args.sizes[0], args.tokens[0]))
        return 0
    return report(args)


def report(args) -> int:
    """Measure and print everything."""
    with tempfile.TemporaryDirectory() as folder:
        theirs = mmdet_head(Path(folder), args.blocks)
    ours = our_head(theirs, args.blocks)
    print(
        f'{args.blocks} blocks, {torch.get_num_threads()} threads, '
        f'torch {torch.__version__}, median of {args.repeats}'
    )
    worst = 0.0
    for size in args.sizes:
        for tokens in args.tokens:
            found = head_times(theirs, ours, size, tokens, args.repeats)
            worst = max(worst, found['difference'])
            print(
                line(
                    f'head {size}, {tokens} tokens',
                    found['mmdet'],
                    found['mmclip'],
                    's',
                    f'<= {WANTED.get(tokens, 1)}',
                )
                + f'  difference {found["difference"]:.1e}',
                flush=True,
            )
        peaks = fusion_peaks(size, args.tokens[0])
        print(
            line(
                f'fusion layer {size}, {args.tokens[0]} tokens, peak',
                peaks['mmdet'] / 1024,
                peaks['mmclip'] / 1024,
                'MB',
                '<= 0.5',
            ),
            flush=True,
        )
    found = chunk_times(
        theirs, ours, args.chunk_size, args.chunks, max(1, args.repeats // 2)
    )
    worst = max(worst, found['difference'])
    share = ALL_CHUNKS / args.chunks
    print(
        line(
            f'{args.chunks} captions of 40 names, {args.chunk_size}',
            found['mmdet'],
            found['mmclip'],
            's',
            '1.5 times faster',
        )
        + f'  {found["mmdet"] / found["mmclip"]:.2f} times faster; '
        f'{ALL_CHUNKS} captions by that: {found["mmdet"] * share:.0f} s and '
        f'{found["mmclip"] * share:.0f} s; difference '
        f'{found["difference"]:.1e}'
    )
    if args.device:
        for name, own in train_times(
            theirs, ours, args.chunk_size, args.device
        ).items():
            print(f'training step {name}: {own[0]:.3f} s, {own[1]:.0f} MB')
    return int(worst > 1e-3)


if __name__ == '__main__':
    sys.exit(main())
