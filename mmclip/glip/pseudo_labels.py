"""Let a teacher draw boxes for the phrases of captions (GLIP, sec. 3.3).

Captions become phrases, the teacher finds them, what it is sure of becomes a
line of mmdet's ODVG format; phrases that it was not sure of stand beside the
regions as ``unboxed``, for a student that is to ignore them. Work is cut into
shards of captions; a shard grows line by line, so what was done when the
process died is kept. Boxes are xyxy pixels of the image. N detections.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torchvision.ops import nms

from mmclip.clip.folders import file_hash, open_folder
from mmclip.clip.ranks import Progress, Rank
from mmclip.glip.caption_file import CaptionFile, captioned
from mmclip.glip.grounding import Grounding, ground_caption
from mmclip.glip.noun_phrases import splitter_of

FORMAT = 'mmclip.pseudo_labels'
Teacher = Callable[[list[np.ndarray], list[Grounding]], Sequence[dict]]


def label_captions(
    teacher: Teacher,
    captions: str | os.PathLike,
    images: str | os.PathLike,
    out: str | os.PathLike,
    *,
    splitter: str | Callable = 'rules',
    score_thr: float = 0.5,
    nms_thr: float | None = None,
    min_boxes: int = 1,
    source: dict | None = None,
    shard_size: int = 1000,
    batch_size: int = 2,
    rank: Rank | None = None,
    every: float = 10.0,
) -> dict | None:
    """Write pseudo labels; interrupted, the same call goes on.

    Args:
        teacher: From RGB images (H, W, 3) and their groundings (caption,
            spans, names) to dicts with ``boxes`` (N, 4), ``scores`` (N,) and
            ``labels`` (N,), which number ``names``.
        captions: File of pairs, see :class:`CaptionFile`.
        images: Folder that the image files are relative to.
        out: Folder; the labels are ``out/labels.jsonl``.
        splitter: See :func:`mmclip.glip.noun_phrases.splitter_of`.
        score_thr: Least score that the student may learn from.
        nms_thr: IoU above which the worse of two boxes of a phrase goes;
            None keeps both, as published.
        min_boxes: Images with fewer boxes are left out.
        source: What the manifest says of the teacher; a run that goes on must
            say the same.
        shard_size: Captions of a shard.
        batch_size: Images the teacher is given at once.
        rank: Which shards are this process's; the environment's by default.
        every: Seconds between two lines of progress.

    Returns:
        Counts over all shards (``captions``, ``images``, ``phrases``,
        ``boxes``, ``failed``), None while other ranks' shards are missing.

    Raises:
        ShardError: ``out`` was begun with other settings.
        ValueError: There is no caption, or none could be labelled.
    """
    rank, out = rank or Rank.from_environment(), Path(out)
    pairs = CaptionFile(captions, shard_size)
    if not len(pairs):
        raise ValueError(f'{captions} holds no caption')
    captioned(pairs.shard(0)[0])  # a file of another kind is told at once
    manifest = dict(
        format=FORMAT,
        captions=file_hash(Path(captions)),
        num_captions=len(pairs),
        shard_size=shard_size,
        splitter=getattr(splitter, '__qualname__', str(splitter)),
        score_thr=score_thr,
        nms_thr=nms_thr,
        source=source or {},
    )
    open_folder(out, manifest)
    label = Labeller(teacher, splitter_of(splitter), score_thr, nms_thr)
    count = len(pairs.starts)
    mine = [
        shard
        for number in rank.numbers(count)
        if not (shard := Shard(out, number)).whole()
    ]
    sizes = [shard_size] * (count - 1) + [
        len(pairs) - (count - 1) * shard_size
    ]
    left = sum(sizes[shard.number] - shard.done for shard in mine)
    progress = Progress(left, rank, every)
    progress.say(f'{left} captions to do in {len(mine)} shards')
    for shard in mine:
        lines = pairs.shard(shard.number)[shard.done :]
        shard.write(progress.over(label(lines, Path(images), batch_size)))
    return join_shards(out, count, min_boxes, rank)


class Labeller:
    """Turn captions into ODVG lines.

    Args:
        teacher: As in :func:`label_captions`.
        split: From a caption to the spans of its phrases.
        score_thr: As in :func:`label_captions`.
        nms_thr: Likewise.
    """

    def __init__(self, teacher, split, score_thr, nms_thr) -> None:
        self.teacher, self.split = teacher, split
        self.score_thr, self.nms_thr = score_thr, nms_thr

    def __call__(
        self, pairs: Iterable[str], folder: Path, batch_size: int
    ) -> Iterator[dict]:
        """Yield a line for each line of a :class:`CaptionFile`, in order.

        A pair that cannot be labelled (no such image, a caption that the
        teacher cannot read) yields a line with its ``error``.
        """
        pairs = iter(pairs)
        while batch := list(islice(pairs, batch_size)):
            yield from self.batch(batch, folder)

    def batch(self, pairs: list[str], folder: Path) -> list[dict]:
        """Return the lines of some pairs."""
        lines = [self.prepare(pair, folder) for pair in pairs]
        asked = [line for line in lines if 'image' in line]
        try:
            self.ask(asked)
        except ValueError:  # one caption may be too long: each by itself
            for line in asked:
                self.ask_alone(line)
        return [
            {k: v for k, v in line.items() if k not in ('image', 'asked')}
            for line in lines
        ]

    def prepare(self, text: str, folder: Path) -> dict:
        """Return a line without regions, with what the teacher is asked."""
        line = {}
        try:
            pair = captioned(text)
            line['filename'] = pair.filename
            image = read_image(folder / pair.filename)
            line['height'], line['width'] = image.shape[:2]
            line['grounding'] = dict(caption=pair.caption, regions=[])
            if self.split(pair.caption):
                asked = ground_caption(pair.caption, self.split)
                line.update(image=image, asked=asked)
        except (OSError, ValueError) as error:
            self.fail(line, error)
        return line

    def ask(self, lines: list[dict]) -> None:
        """Let the teacher find the phrases of some lines."""
        if not lines:
            return
        found = self.teacher(
            [line['image'] for line in lines],
            [line['asked'] for line in lines],
        )
        for line, boxes in zip(lines, found, strict=True):
            regions, unboxed = self.regions(line, **boxes)
            line['grounding'].update(regions=regions, unboxed=unboxed)

    def ask_alone(self, line: dict) -> None:
        """Let the teacher find the phrases of a line, or note why not."""
        try:
            self.ask([line])
        except ValueError as error:
            self.fail(line, error)

    def regions(
        self, line: dict, boxes, scores, labels
    ) -> tuple[list[dict], list[dict]]:
        """Return the phrases with boxes as ODVG's regions, and the others."""
        asked = line['asked']
        boxes = torch.as_tensor(np.asarray(boxes)).float().reshape(-1, 4)
        scores = torch.as_tensor(np.asarray(scores)).float().reshape(-1)
        labels = torch.as_tensor(np.asarray(labels)).long().reshape(-1)
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(
            asked.names
        ):
            raise LookupError(
                f'the teacher answered with label {int(labels.max())} to '
                f'{len(asked.names)} phrases {asked.names}: it does not read '
                'the text; take a grounding detector or one of our models'
            )
        limits = torch.tensor([line['width'], line['height']] * 2)
        boxes = boxes.clamp(min=0).minimum(limits)
        wide = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(dim=1)
        kept = wide & (scores >= self.score_thr)
        regions, unboxed = [], []
        for label, name in enumerate(asked.names):
            phrase = dict(
                phrase=name,
                tokens_positive=[
                    span
                    for row, spans in zip(asked.labels, asked.spans)
                    if row == label
                    for span in spans
                ],
            )
            own = (kept & (labels == label)).nonzero().flatten()
            own = own[scores[own].argsort(descending=True, stable=True)]
            if self.nms_thr is not None:
                own = own[nms(boxes[own], scores[own], self.nms_thr)]
            if len(own):
                found = dict(
                    bbox=rounded(boxes[own], 2), score=rounded(scores[own], 4)
                )
                regions.append(found | phrase)
            else:
                unboxed.append(phrase)
        return regions, unboxed

    def fail(self, line: dict, error: Exception) -> None:
        """Note why a pair cannot be labelled."""
        for key in ('image', 'asked', 'grounding', 'height', 'width'):
            line.pop(key, None)
        line['error'] = f'{type(error).__name__}: {error}'


def rounded(values: torch.Tensor, digits: int) -> list:
    """Return numbers as JSON shows them."""
    return np.round(values.double().numpy(), digits).tolist()


def read_image(path: Path) -> np.ndarray:
    """Read an image as RGB uint8 (H, W, 3)."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert('RGB'))


class Shard:
    """Some captions, and the file of their lines.

    ``shards/00000.jsonl`` is whole; with ``.part`` it grows. A line cut off
    by the end of a process is dropped and done again.

    Args:
        out: The folder of the labels.
        number: Of the shard.
    """

    def __init__(self, out: Path, number: int) -> None:
        self.path = shard_path(out, number)
        self.part = self.path.with_suffix('.jsonl.part')
        self.number, self.done = number, 0

    def whole(self) -> bool:
        """Tell whether all is done; else find what is."""
        if self.path.is_file():
            return True
        if self.part.is_file():
            self.done = mend(self.part)
        return False

    def write(self, lines: Iterable[dict]) -> None:
        """Append lines as they come, then give the file its name."""
        self.part.parent.mkdir(exist_ok=True)
        with self.part.open('a', encoding='utf8') as file:
            for line in lines:
                file.write(json.dumps(line) + '\n')
                file.flush()  # what the system has outlives the process
            os.fsync(file.fileno())
        os.replace(self.part, self.path)


def shard_path(out: Path, number: int) -> Path:
    """Return the file of a shard."""
    return out / 'shards' / f'{number:05d}.jsonl'


def mend(path: Path) -> int:
    """Cut a file behind its last whole line; return how many there are."""
    count = size = 0
    with path.open('r+b') as file:
        for line in file:
            try:
                json.loads(line)
            except ValueError:
                break
            if not line.endswith(b'\n'):
                break
            count, size = count + 1, size + len(line)
        file.truncate(size)
    return count


def join_shards(
    out: Path, count: int, min_boxes: int, rank: Rank
) -> dict | None:
    """Write ``labels.jsonl`` once every shard is whole.

    Returns:
        Counts, see :func:`label_captions`; None where a shard is missing.

    Raises:
        ValueError: No caption at all could be labelled.
    """
    paths = [shard_path(out, number) for number in range(count)]
    if not all(path.is_file() for path in paths):
        return None
    counts = dict(captions=0, images=0, phrases=0, boxes=0, failed=0)
    aside = out / f'labels.jsonl.{rank.rank}.part'
    error = ''
    with aside.open('w', encoding='utf8') as file:
        for line in (line for path in paths for line in path.open()):
            record = json.loads(line)
            counts['captions'] += 1
            counts['failed'] += 'error' in record
            error = error or record.get('error', '')
            regions = record.get('grounding', {}).get('regions', [])
            boxes = sum(len(region['bbox']) for region in regions)
            if 'error' not in record and boxes >= min_boxes:
                file.write(line)
                counts['images'] += 1
                counts['phrases'] += len(regions)
                counts['boxes'] += boxes
        file.flush()
        os.fsync(file.fileno())
    if counts['failed'] == counts['captions']:
        aside.unlink()
        raise ValueError(
            f'none of {counts["captions"]} captions could be labelled, the '
            f'first for {error}: mend that and remove {out}'
        )
    os.replace(aside, out / 'labels.jsonl')
    return counts
