"""Time GroupViT against Hugging Face's, and against the published evaluation.

Three parts, both sides with the same random weights and taking turns:

- ``forward``: images of 224 pixels, and images with captions, through
  transformers' ``GroupViTModel`` and ours; the embeddings must be the same.
- ``step``: the contrastive loss and its gradients in training (the optimizer
  would be the same on both sides); the losses and the gradients of the images
  in evaluation must be the same, as Gumbel noise differs in training.
- ``segment``: zero-shot segmentation of 448 pixels against the published
  order of operations, written here upon our own modules: the image encoder
  runs twice a window (for the features, then for the maps), images go one by
  one, and names reach the pixels by products with one-hot maps. The labels
  must be the same. Hugging Face's model takes 224 pixels alone.
  Ours is ``GroupViTSegmentor.predict``, from images to data samples.

Ends with 1 where the sides differ. Peaks are of a fresh process a side, above
what it holds with the model loaded.

The first two parts need transformers, which mmdet and mmpretrain of 2023 do
not start beside; install it apart and put it on the path for this script
alone::

    pip install --no-deps --target hf transformers tokenizers
    PYTHONPATH=hf python benchmarks/groupvit.py

B images, K names, G groups.
"""

import argparse
import ctypes
import gc
import math
import multiprocessing
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from torch import Tensor

from mmclip.clip.similarity import cosine_logits
from mmclip.groupvit import GroupViTPretrainer
from mmclip.groupvit.convert import convert_state
from mmclip.groupvit.losses import exponentiated
from mmclip.groupvit.segmentor import GroupViTSegmentor

PARTS = ('forward', 'step', 'segment')
WANTED = dict(forward=1.0, step=1.0, segment=1.9)  # times faster, at least
TOLERANCE = 1e-5
THRESHOLDS = {20: 0.95, 59: 0.35, 171: None}  # published: VOC, Context


@dataclass
class Case:
    """What both sides do, and how their results are compared.

    Attributes:
        name: What is printed.
        theirs, ours: Take nothing and return tensors to compare.
        differ: Takes both results, returns how far they are apart.
    """

    name: str
    theirs: Callable
    ours: Callable
    differ: Callable


@dataclass
class Times:
    """Hold seconds a turn of each side, and what they differ by."""

    theirs: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    difference: float = 0.0

    @property
    def ratio(self) -> float:
        """Return how many times faster ours is, median over the turns."""
        return median(a / b for a, b in zip(self.theirs, self.ours))


# ---- both sides' models and inputs ----


def our_model(small: bool = False) -> GroupViTPretrainer:
    """Build the published network (or a small one) with random weights.

    Assignments are sharpened: with fresh weights one group takes all.
    """
    torch.manual_seed(0)
    settings = {}
    if small:
        settings = dict(
            img_encoder=dict(depths=(1, 1, 1), embed_dims=64, num_heads=1),
            text_encoder=dict(embed_dims=64, layers=1),
            hidden_channels=32,
            out_channels=16,
        )
    model = GroupViTPretrainer(multi_label=False, **settings)
    with torch.no_grad():
        for name, parameter in model.img_encoder.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.1)
            if 'assign.q_proj.weight' in name:
                parameter.mul_(8)
        model.logit_scale.fill_(4.0)
    return model.eval()


def their_model(ours: GroupViTPretrainer):
    """Build transformers' model with the weights of ours.

    Raises:
        ImportError: transformers is not installed.
    """
    try:
        from transformers import GroupViTConfig, GroupViTModel
    except ImportError as error:
        raise ImportError(
            'the parts forward and step need transformers: '
            'pip install --no-deps --target hf transformers tokenizers, '
            'then PYTHONPATH=hf; or give --parts segment'
        ) from error
    state = {k: v.numpy() for k, v in ours.state_dict().items()}
    theirs, settings, _ = convert_state(state, 'hf')
    image, text = settings['img_encoder'], settings['text_encoder']
    config = GroupViTConfig(
        vision_config=dict(
            hidden_size=image['embed_dims'],
            intermediate_size=4 * image['embed_dims'],
            depths=image['depths'],
            num_hidden_layers=sum(image['depths']),
            num_group_tokens=image['num_group_tokens'],
            num_output_groups=image['num_output_groups'],
            num_attention_heads=image['num_heads'],
        ),
        text_config=dict(
            hidden_size=text['embed_dims'],
            intermediate_size=4 * text['embed_dims'],
            num_hidden_layers=text['layers'],
            num_attention_heads=text['num_heads'],
        ),
        projection_dim=settings['out_channels'],
        projection_intermediate_dim=settings['hidden_channels'],
    )
    model = GroupViTModel(config)
    tensors = {k: torch.from_numpy(v.copy()) for k, v in theirs.items()}
    model.load_state_dict(tensors)
    return model.eval()


def some_images(count: int, side: int) -> Tensor:
    """Draw images with some structure, normalised, (B, 3, side, side)."""
    torch.manual_seed(1)
    coarse = torch.randn(count, 3, 7, 7)
    return F.interpolate(coarse, (side, side), mode='bicubic')


def some_captions(count: int) -> Tensor:
    """Draw token ids of captions, cut to the longest, (B, L).

    Both sides get them so; ours would cut longer ones itself.
    """
    torch.manual_seed(2)
    ids = torch.randint(1, 49000, (count, 20))
    ids[:, 0] = 49406
    for row, length in enumerate(torch.randint(8, 20, (count,)).tolist()):
        ids[row, length] = 49407
        ids[row, length + 1 :] = 0
    ids[0, 19] = 49407
    return ids


# ---- the cases ----


def forward_cases(batch: int, small: bool) -> list[Case]:
    """Compare unit embeddings of images, and of images and captions."""
    ours = our_model(small)
    theirs = their_model(ours)
    images, ids = some_images(batch, 224), some_captions(batch)
    mask = torch.ones_like(ids)

    @torch.no_grad()
    def their_images():
        seen = theirs.vision_model(pixel_values=images)
        return [F.normalize(theirs.visual_projection(seen.pooler_output))]

    @torch.no_grad()
    def our_images():
        pooled = ours.pool_groups(images)
        return [F.normalize(ours.img_projector(pooled))]

    @torch.no_grad()
    def their_pairs():
        found = theirs(input_ids=ids, pixel_values=images, attention_mask=mask)
        return [found.image_embeds, found.text_embeds]

    @torch.no_grad()
    def our_pairs():
        image, text = ours.features(images, ids[:, None])
        return [F.normalize(image), F.normalize(text[:, 0])]

    return [
        Case('images', their_images, our_images, largest_gap),
        Case('images and captions', their_pairs, our_pairs, largest_gap),
    ]


def largest_gap(theirs, ours) -> float:
    """Return the largest absolute difference of two lists of tensors."""
    return max((a - b).abs().max().item() for a, b in zip(theirs, ours))


class Trainer:
    """One side's contrastive step."""

    def __init__(self, model, loss: Callable[[Tensor], Tensor]) -> None:
        self.model, self.loss = model, loss

    def step(self, images: Tensor) -> None:
        """Find the gradients of all weights."""
        self.model.train()
        self.model.zero_grad()
        self.loss(images).backward()

    def gradient(self, images: Tensor) -> list[Tensor]:
        """Return loss and image gradient in evaluation, at unit scale."""
        self.model.eval()
        images = images.clone().requires_grad_()
        loss = self.loss(images)
        (gradient,) = torch.autograd.grad(loss, images)
        return [loss.detach(), gradient / gradient.norm()]


def step_cases(batch: int, small: bool) -> list[Case]:
    """Compare a contrastive step; the check is in evaluation."""
    batch = max(batch, 2)  # one pair has nothing to contrast with
    ours = our_model(small)
    theirs = their_model(ours)
    images, ids = some_images(batch, 224), some_captions(batch)
    mask = torch.ones_like(ids)

    def their_loss(images):
        return theirs(
            input_ids=ids,
            pixel_values=images,
            attention_mask=mask,
            return_loss=True,
        ).loss

    def our_loss(images):
        return ours.loss(images, ids[:, None])['loss_contrastive']

    a, b = Trainer(theirs, their_loss), Trainer(ours, our_loss)
    before = largest_gap(a.gradient(images), b.gradient(images))
    return [
        Case(
            f'contrastive step of {batch} pairs',
            lambda: a.step(images),
            lambda: b.step(images),
            lambda *_: before,
        )
    ]


def segment_cases(batch: int, small: bool, names=THRESHOLDS) -> list[Case]:
    """Compare labels of every pixel, the background among them."""
    model = our_model(small)
    images = some_images(batch, 448)
    return [segment_case(model, images, count) for count in names]


def segment_case(model, images: Tensor, count: int) -> Case:
    """Compare labels by ``count`` names, a background before them if any."""
    text, threshold = some_names(model, images, count), THRESHOLDS[count]
    segmentor = our_segmentor(model, text, threshold)

    @torch.no_grad()
    def theirs():
        each = [
            published_scores(model, x[None], text, threshold) for x in images
        ]
        return torch.cat([scores.argmax(dim=1) for scores in each])

    @torch.no_grad()
    def ours():
        found = segmentor.predict(images)
        return torch.cat([sample.pred_sem_seg.data for sample in found])

    def differ(a, b):
        return (a != b).float().mean().item()

    return Case(f'{count} names', theirs, ours, differ)


def our_segmentor(model, text: Tensor, threshold: float | None):
    """Build the segmentor with the towers of a pretrainer, sharing them."""
    small = dict(embed_dims=64, depths=(1,), num_heads=1)
    segmentor = GroupViTSegmentor(
        img_encoder=small | dict(num_group_tokens=(1,), num_output_groups=()),
        text_encoder=dict(embed_dims=64, layers=1),
        hidden_channels=1,
        background=threshold and dict(kind='threshold', threshold=threshold),
    )
    for name, child in model.named_children():
        if name != 'data_preprocessor':
            setattr(segmentor, name, child)
    segmentor.logit_scale = model.logit_scale
    names = [f'name {k}' for k in range(len(text))]
    if threshold is not None:
        names = ['background', *names]
        text = torch.cat([torch.zeros_like(text[:1]), text])
    segmentor.set_vocabulary(text, names)
    return segmentor.eval()


@torch.no_grad()
def some_names(model, images: Tensor, count: int) -> Tensor:
    """Draw text embeddings near the groups', so that several names win."""
    groups = F.normalize(model.encode_image(images)[1], dim=-1).flatten(0, 1)
    rows = torch.arange(count) % len(groups)
    centred = groups - groups.mean(dim=0)
    noise = 0.3 * centred.std() * torch.randn(count, groups.shape[1])
    return F.normalize(centred[rows] + noise, dim=-1)


def published_scores(
    model, image: Tensor, text: Tensor, threshold: float | None
) -> Tensor:
    """Score the pixels of one image (1, 3, H, W) in the published order.

    Returns:
        (1, K, H, W), or with a background (1, 1 + K, H, W).
    """
    whole, groups, _ = model.encode_image(image)
    maps = model.img_encoder.encode(image).maps()  # the second pass
    one_hot = F.one_hot(maps.argmax(dim=1), maps.shape[1]).to(image)
    logits = cosine_logits(groups[0], text, exponentiated(model.logit_scale))
    best = cosine_logits(whole[0], text).topk(5).indices
    kept = torch.full_like(logits, -torch.inf)
    kept[:, best] = logits[:, best]
    affinity = kept.softmax(dim=-1) * logits.softmax(dim=-1)  # (G, K)
    pixels = one_hot @ affinity  # (1, H, W, K)
    if threshold is not None:
        limit = min(threshold, affinity.max().item())
        ground = (pixels.amax(dim=-1, keepdim=True) < limit).to(pixels)
        pixels = torch.cat([ground, pixels], dim=-1)
    return pixels.permute(0, 3, 1, 2)


CASES = dict(forward=forward_cases, step=step_cases, segment=segment_cases)


# ---- measuring ----


def measure(case: Case, rounds: int) -> Times:
    """Time ``rounds`` turns after one to warm up; each begins in turn."""
    times = Times(difference=case.differ(case.theirs(), case.ours()))
    console = Console(stderr=True)
    for k in track(range(rounds), case.name, console=console):
        sides = [(times.theirs, case.theirs), (times.ours, case.ours)]
        for kept, side in sides if k % 2 else sides[::-1]:
            start = time.perf_counter()
            side()
            kept.append(time.perf_counter() - start)
    return times


def peak(part: str, index: int, side: str, batch: int, small: bool) -> float:
    """Return the MB that a side's first run adds in a fresh process."""
    context = multiprocessing.get_context('spawn')
    ours, theirs = context.Pipe(duplex=False)
    options = (part, index, side, batch, small, torch.get_num_threads())
    process = context.Process(target=report_peak, args=(*options, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError as error:
        raise RuntimeError(
            f'measuring the memory of {part}, {side} ended with '
            f'{process.exitcode}: see above, or give --no-memory'
        ) from error
    finally:
        process.join()


def report_peak(part, index, side, batch, small, threads, pipe) -> None:
    """Send the MB that one run adds; NaN where unknown."""
    torch.set_num_threads(threads)
    case = CASES[part](batch, small)[index]
    give_back_memory()
    before = status_mb('VmRSS')
    getattr(case, side)()
    pipe.send(status_mb('VmHWM') - before)


def give_back_memory() -> None:
    """Return freed memory to Linux, and begin to count the peak anew."""
    gc.collect()
    try:
        ctypes.CDLL('libc.so.6').malloc_trim(0)
        Path('/proc/self/clear_refs').write_text('5')
    except OSError:  # another system: the peak stays unknown
        pass


def status_mb(key: str) -> float:
    """Read MB of this process from Linux; NaN where there is no Linux."""
    try:
        lines = Path('/proc/self/status').read_text().splitlines()
    except OSError:
        return math.nan
    (line,) = [line for line in lines if line.startswith(f'{key}:')]
    return int(line.split()[1]) / 1024


def report(part: str, case: Case, times: Times, peaks) -> int:
    """Print both sides, the ratio and the difference; 1 if they differ."""
    allowed = 0.0 if part == 'segment' else TOLERANCE
    what = 'labels that differ' if part == 'segment' else 'difference'
    memory = ''
    if peaks:
        memory = f'   peaks {peaks[0]:.0f} and {peaks[1]:.0f} MB more'
    print(
        f'  {case.name:<30} {median(times.theirs):8.3f} s '
        f'{median(times.ours):8.3f} s   {times.ratio:5.2f} times faster '
        f'(wanted: {WANTED[part]})   {what} {times.difference:.1e}{memory}'
    )
    return int(not times.difference <= allowed)


def run(part: str, batch: int, rounds: int, memory: bool, small: bool) -> int:
    """Measure and print a part; 1 where the sides differ."""
    other = 'published order' if part == 'segment' else 'transformers'
    side = 448 if part == 'segment' else 224
    print(f'{part}, {side} px, batch {batch}: {other}, then mmclip (medians)')
    wrong = 0
    for index, case in enumerate(CASES[part](batch, small)):
        times = measure(case, rounds)
        peaks = memory and [
            peak(part, index, side, batch, small)
            for side in ('theirs', 'ours')
        ]
        wrong |= report(part, case, times, peaks)
    return wrong


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 1 where the two sides do not agree."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=PARTS)
    parser.add_argument('--batch', nargs='+', type=int, default=[1, 4])
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--threads', type=int, help="torch's; default: all")
    parser.add_argument(
        '--no-memory', action='store_true', help='do not measure the peaks'
    )
    parser.add_argument(
        '--small', action='store_true', help='a small network, to try it out'
    )
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    print(f'{torch.get_num_threads()} threads, torch {torch.__version__}, CPU')
    wrong = 0
    for part in args.parts:
        for batch in args.batch:
            wrong |= run(
                part, batch, args.rounds, not args.no_memory, args.small
            )
    return wrong


if __name__ == '__main__':
    sys.exit(main())
