"""Train shapes-clip from nothing but captioned drawings.

``python tools/train_shapes_clip.py`` draws image-text pairs of base and novel
concepts from a seed, trains image and text tower with CLIP's symmetric loss,
and writes the weights (fp16 safetensors) and the configuration. No box, mask
or unseen combination enters. ``report_shapes_clip.py`` measures the result.

Symbols: B pairs in a step, S image side, L tokens, D embedding width.
"""

import argparse
import copy
import json
import math
import os
import time
from pathlib import Path

import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from mmclip.clip.shapes_clip import ASSETS, build_shapes_clip
from mmclip.data.shapes import COLOURS, SHAPES, TEXTURES, concepts
from mmclip.data.shapes_captions import (
    CAPTION_TEMPLATES,
    LIST_TEMPLATES,
    RELATIONS,
    portrait_pair,
    scene_pair,
)

PORTRAIT_SIDES = (40, 52, 64, 96)  # drawn so, then resized: crops are blurred


def parse_args(argv=None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--out', type=Path, default=ASSETS / 'shapes-clip.safetensors'
    )
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/shapes_clip')
    )
    parser.add_argument('--steps', type=int, default=3000)
    parser.add_argument('--portraits', type=int, default=128)
    parser.add_argument('--scenes', type=int, default=48)
    parser.add_argument('--lr', type=float, default=3e-3)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--workers', type=int, default=1)
    parser.add_argument('--save-every', type=int, default=100)
    parser.add_argument(
        '--freeze-norm',
        type=float,
        default=0.5,
        help='part of the steps after which BatchNorm statistics stand still',
    )
    parser.add_argument('--resume', action='store_true')
    return parser.parse_args(argv)


def make_config() -> dict:
    """Return the model, preprocessing and words, with CLIP's byte pairs."""
    text = ' '.join(
        [
            *CAPTION_TEMPLATES,
            *LIST_TEMPLATES,
            *RELATIONS,
            *COLOURS,
            *TEXTURES[1:],
            *SHAPES,
            'shape small large and an ,',
        ]
    )
    known = sorted(set(text.replace('{}', ' ').replace('.', ' . ').split()))
    bpe = SimpleTokenizer()
    words = {word: bpe.encode(word) for word in known}
    kept = {0, bpe.sot_token_id, bpe.eot_token_id}.union(*words.values())
    tower = dict(
        context_length=48, vocab_size=len(kept), width=128, heads=4, layers=2
    )
    return dict(
        model_cfg=dict(
            embed_dim=128,
            vision_cfg=dict(
                image_size=64,
                timm_pool='avg',
                timm_model_name='mmclip_shapes_resnet18',
                timm_model_pretrained=False,
                timm_proj='linear',
            ),
            text_cfg=tower,
        ),
        preprocess_cfg=dict(
            size=64,
            mode='RGB',
            mean=OPENAI_DATASET_MEAN,
            std=OPENAI_DATASET_STD,
            interpolation='bicubic',
            resize_mode='squash',
        ),
        words=words,
        bpe_ids=sorted(kept),
    )


class PairBatches(Dataset):
    """Step ``k``'s batch, drawn from ``(seed, k, i)`` in any process."""

    def __init__(self, args, tokenizer):
        self.args, self.tokenizer = args, tokenizer
        self.among = concepts('base', 'novel')

    def __len__(self):
        return self.args.steps

    def __getitem__(self, step: int):
        """Return image blocks uint8, ids (B, L) and positives (B, B)."""
        args, quarter = self.args, self.args.portraits // 4
        blocks = [
            [
                portrait_pair((args.seed, step, q, i), side, self.among)
                for i in range(quarter)
            ]
            for q, side in enumerate(PORTRAIT_SIDES)
        ]
        blocks.append(
            [
                scene_pair((args.seed, step, 4, i), 128, self.among)
                for i in range(args.scenes)
            ]
        )
        images = [
            torch.stack([torch.from_numpy(p.image) for p in block])
            for block in blocks
        ]
        pairs = sum(blocks, [])
        ids = self.tokenizer([p.caption for p in pairs])
        fits = torch.tensor([[p.told <= q.true for p in pairs] for q in pairs])
        return images, ids, fits


def normalise(images: Tensor, side: int) -> Tensor:
    """Resize uint8 (B, S, S, 3) and apply CLIP's mean and deviation."""
    mean, std = (
        torch.tensor(v).view(3, 1, 1) * 255
        for v in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
    )
    pixels = images.permute(0, 3, 1, 2).float()  # (B, 3, S, S)
    if pixels.shape[-1] != side:
        pixels = F.interpolate(
            pixels, (side, side), mode='bilinear', antialias=True
        )
    return (pixels - mean) / std


def encode_images(model: nn.Module, blocks: list, side: int) -> Tensor:
    """Return unit embeddings (B, D) of portraits at ``side``, and scenes."""
    *portraits, scenes = blocks
    portraits = torch.cat([normalise(block, side) for block in portraits])
    embedded = [
        model.encode_image(x.contiguous(memory_format=torch.channels_last))
        for x in (portraits, normalise(scenes, scenes.shape[1]))
    ]
    return F.normalize(torch.cat(embedded).float(), dim=-1)


def encode_texts(model: nn.Module, ids: Tensor) -> Tensor:
    """Return unit embeddings (B, D), without computing the padding.

    Causal attention makes what stands behind the end token irrelevant.
    """
    longest = int(ids.argmax(-1).max()) + 1
    x = model.token_embedding(ids[:, :longest])
    x = x + model.positional_embedding[:longest]  # (B, L, width)
    x = model.transformer(x, attn_mask=model.attn_mask[:longest, :longest])
    x = model.ln_final(x)[torch.arange(len(ids)), ids.argmax(-1)]
    return F.normalize((x @ model.text_projection).float(), dim=-1)


def contrastive_loss(
    images: Tensor, texts: Tensor, fits: Tensor, scale: Tensor
) -> Tensor:
    """Return CLIP's symmetric loss where several texts may fit an image.

    Args:
        images: Unit embeddings (B, D).
        texts: Unit embeddings (B, D).
        fits: Bool (B, B), image by text; the targets of a row are uniform
            over its fitting texts, as equal captions are no negatives.
        scale: Exponentiated temperature.
    """
    logits = scale * images @ texts.T  # (B, B)
    rows, columns = fits.float(), fits.T.float()
    return 0.5 * (
        F.cross_entropy(logits, rows / rows.sum(1, keepdim=True))
        + F.cross_entropy(logits.T, columns / columns.sum(1, keepdim=True))
    )


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return the rate after a warm-up of 100 steps and a cosine to 0."""
    warm = min(1, (step + 1) / 100)
    return peak * warm * 0.5 * (1 + math.cos(math.pi * step / steps))


def make_optimizer(model: nn.Module, lr: float) -> torch.optim.AdamW:
    """Return AdamW that decays matrices and filters only."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    return torch.optim.AdamW(
        [
            dict(params=matrices, weight_decay=0.05),
            dict(params=others, weight_decay=0.0),
        ],
        lr=lr,
        betas=(0.9, 0.98),
    )


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, step: int) -> None:
    """Move the averaged weights and statistics towards the model's."""
    keep = min(0.998, (1 + step) / (10 + step))
    for slow, fast in zip(
        average.state_dict().values(), model.state_dict().values()
    ):
        if slow.is_floating_point():
            slow.lerp_(fast, 1 - keep)
        else:
            slow.copy_(fast)


def save(state: dict, path: Path) -> None:
    """Write a safetensors file and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    temporary.write_bytes(
        to_bytes({k: v.contiguous() for k, v in state.items()})
    )
    os.replace(temporary, path)


def save_checkpoint(path: Path, step: int, model, average, optimizer) -> None:
    """Write all that a resumed run needs."""
    state = {f'model.{k}': v for k, v in model.state_dict().items()}
    state |= {f'average.{k}': v for k, v in average.state_dict().items()}
    for index, entry in optimizer.state_dict()['state'].items():
        state |= {f'optimizer.{index}.{k}': v for k, v in entry.items()}
    save(state | {'step': torch.tensor(step)}, path)


def load_checkpoint(path: Path, model, average, optimizer) -> int:
    """Restore ``save_checkpoint``'s file; return the next step."""
    state = load_file(path)

    def part(prefix):
        return {
            k.removeprefix(prefix): v
            for k, v in state.items()
            if k.startswith(prefix)
        }

    model.load_state_dict(part('model.'))
    average.load_state_dict(part('average.'))
    moments = {}
    for key, value in part('optimizer.').items():
        index, name = key.split('.')
        moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(dict(optimizer.state_dict(), state=moments))
    return int(state['step'])


def release(average: nn.Module, config: dict, out: Path) -> None:
    """Write the averaged weights as fp16, and the configuration."""
    state = {
        k: v.half() if v.is_floating_point() else v
        for k, v in average.state_dict().items()
    }
    save(state, out)
    temporary = out.with_suffix(f'.json.{os.getpid()}')
    temporary.write_text(json.dumps(config, indent=1) + '\n')
    os.replace(temporary, out.with_suffix('.json'))


def batch_loss(model, batch, step: int, args) -> Tensor:
    """Return the loss of one batch.

    Filters run in bfloat16; captions of portraits and of scenes, short and
    long, are encoded apart.
    """
    images, ids, fits = batch
    model.train()
    if step >= args.freeze_norm * args.steps:
        model.visual.eval()
    side = 96 if step % 4 == 0 else 64
    with torch.autocast('cpu', torch.bfloat16):
        x = encode_images(model, images, side)
    parts = ids.split([len(ids) - args.scenes, args.scenes])
    t = torch.cat([encode_texts(model, part) for part in parts])
    scale = model.logit_scale.exp().clamp(max=100)
    return contrastive_loss(x, t, fits, scale)


def train_step(model, average, optimizer, batch, step: int, args) -> float:
    """Update the model and its average on one batch; return the loss."""
    for group in optimizer.param_groups:
        group['lr'] = learning_rate(step, args.steps, args.lr)
    loss = batch_loss(model, batch, step, args)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    follow(average, model, step)
    return loss.item()


def train(model, average, optimizer, loader, first: int, args):
    """Run the steps that are left; yield how many are done after each."""
    begun, mean = time.time(), None
    for step, batch in enumerate(loader, first):
        loss = train_step(model, average, optimizer, batch, step, args)
        mean = loss if mean is None else 0.95 * mean + 0.05 * loss
        done = step + 1
        if done % 20 == 0:
            pace = (time.time() - begun) / (done - first)
            print(
                f'step {done}/{args.steps} loss {mean:.3f} '
                f'scale {model.logit_scale.exp().item():.1f} '
                f'{pace:.2f} s/step '
                f'{(args.steps - done) * pace / 60:.1f} min left',
                flush=True,
            )
        yield done


def main(argv=None) -> None:
    """Train, saving checkpoints and intermediate weights on the way."""
    args = parse_args(argv)
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    config = make_config()
    model, tokenizer = build_shapes_clip(config)
    model = model.to(memory_format=torch.channels_last)
    average = copy.deepcopy(model).eval()
    optimizer = make_optimizer(model, args.lr)
    checkpoint, first = args.work_dir / 'latest.safetensors', 0
    if args.resume:
        first = load_checkpoint(checkpoint, model, average, optimizer)
    loader = DataLoader(
        PairBatches(args, tokenizer),
        batch_size=None,
        sampler=range(first, args.steps),
        num_workers=args.workers,
        prefetch_factor=4 if args.workers else None,
    )
    for done in train(model, average, optimizer, loader, first, args):
        if done % args.save_every == 0 or done == args.steps:
            save_checkpoint(checkpoint, done, model, average, optimizer)
            release(average, config, args.out)


if __name__ == '__main__':
    main()
