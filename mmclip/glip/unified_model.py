"""One model that detects, cuts out, grounds, answers and tells.

B images, L words.
"""

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmclip.glip.glipv2 import GLIPv2Detector
from mmclip.registry import MODELS

BOXES = ('detection', 'grounding')
TASKS = (*BOXES, 'vqa', 'caption')


@MODELS.register_module()
class GLIPv2(GLIPv2Detector):
    """Localise and understand with one set of weights (Zhang et al., 2022).

    A data sample's ``task`` says what is wanted of its image, and those of a
    batch may differ:

    ========= ======================= ================== ===================
    task      reads                   learns from        answers
    ========= ======================= ================== ===================
    detection ``text``, names         boxes, masks       ``pred_instances``
    grounding ``text``, a caption     boxes, masks       ``pred_instances``
    vqa       ``question``            ``gt_answer``      ``pred_answer``
    caption   nothing                 ``gt_caption``     ``pred_caption``
    ========= ======================= ================== ===================

    Without ``task``, a sample with a question is to be answered, one with a
    caption to learn (mmpretrain's data sets have both) is to be described,
    any other is a detection. Image backbone and neck run once for all of a
    batch. Questions go the way of captions with boxes; captions to
    be written the way of :mod:`mmclip.glip.word_tower`. No code was
    published for either.

    Args:
        vqa_head: Config of an ``mmclip.VQAHead``.
        caption_head: Config of an ``mmclip.CaptionHead``.
        **kwargs: As for :class:`mmclip.glip.glipv2.GLIPv2Detector`.
    """

    def __init__(
        self,
        *args,
        vqa_head: dict | None = None,
        caption_head: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.vqa_head = MODELS.build(vqa_head) if vqa_head else None
        self.caption_head = None
        if caption_head:
            self.caption_head = MODELS.build(caption_head)
            self.caption_head.check(self.bbox_head.head, self.language_model)

    def rows_of_tasks(self, samples: Sequence) -> dict[str, list[int]]:
        """Return which samples want boxes, answers and captions.

        Raises:
            ValueError: A task is unknown, or has no head.
        """
        found = dict(boxes=[], vqa=[], caption=[])
        heads = dict(vqa=self.vqa_head, caption=self.caption_head)
        for row, sample in enumerate(samples):
            task = task_of(sample)
            if task not in TASKS:
                raise ValueError(
                    f"sample {row} has the task '{task}': expected one of "
                    f'{", ".join(TASKS)}'
                )
            if heads.get(task, self) is None:
                raise ValueError(
                    f"sample {row} has the task '{task}', but the model has "
                    f'no {task}_head: give it one'
                )
            found['boxes' if task in BOXES else task].append(row)
        return found

    # ---- training ----

    def loss(self, batch_inputs: Tensor, batch_data_samples: list) -> dict:
        """Compute the losses of all tasks, the same names in every batch.

        Args:
            batch_inputs: (B, 3, H, W).
            batch_data_samples: See the class; boxes have inclusive ends.
        """
        rows = self.rows_of_tasks(batch_data_samples)
        levels = self.extract_feat(batch_inputs)
        losses = self.box_losses(levels, batch_data_samples, rows['boxes'])
        if self.vqa_head is not None:
            losses['loss_vqa'] = self.vqa_loss(
                *part(levels, batch_data_samples, rows['vqa'])
            )
        if self.caption_head is not None:
            losses['loss_caption'] = self.caption_loss(
                *part(levels, batch_data_samples, rows['caption'])
            )
        return losses

    def box_losses(
        self, levels: Sequence[Tensor], samples: list, rows: list[int]
    ) -> dict[str, Tensor]:
        """Compute the losses of boxes, masks and words.

        A rank without boxes takes part all the same, as ranks share counts
        and words: with an image that counts nothing.
        """
        if rows:
            return self.loss_levels(*part(levels, samples, rows))
        losses = self.loss_levels(
            [level[:1] for level in levels],
            [self.stand_in(samples[0]).to(levels[0].device)],
        )
        return {name: loss * 0 for name, loss in losses.items()}

    def stand_in(self, sample) -> DetDataSample:
        """Return a sample without boxes, of words that a sample has."""
        text = sample.get('question') or sample.get('gt_caption')
        size = sample.img_shape[:2]
        found = DetDataSample(
            metainfo=dict(
                text=text if isinstance(text, str) else text[0],
                tokens_positive=[],
                img_shape=size,
                stand_in=True,
            )
        )
        found.gt_instances = InstanceData(
            bboxes=torch.zeros(0, 4),
            labels=torch.zeros(0, dtype=torch.long),
            masks=BitmapMasks([], *size),
        )
        return found

    def contrast(
        self,
        levels: Sequence[Tensor],
        language: dict,
        grounded: list,
        samples: list,
    ) -> Tensor:
        """Leave the words of a stand-in out, which all ranks would see."""
        if samples[0].get('stand_in', False):  # then it is alone
            none = torch.zeros_like(language['masks'])
            language = dict(language, masks=none)
        return super().contrast(levels, language, grounded, samples)

    def vqa_loss(self, levels: Sequence[Tensor], samples: list) -> Tensor:
        """Compute the loss of answers; 0 without questions."""
        if not samples:
            return nothing(self.vqa_head)
        return self.vqa_head.loss(self.ask(levels, samples), samples)

    def caption_loss(self, levels: Sequence[Tensor], samples: list) -> Tensor:
        """Compute the loss of captions; 0 without any."""
        if not samples:
            return nothing(self.caption_head)
        return self.caption_head.teach(
            self.bbox_head.head,
            self.language_model,
            levels,
            [caption_of(sample) for sample in samples],
        )

    def ask(self, levels: Sequence[Tensor], samples: list) -> Tensor:
        """Return the fused words of questions (B, L, W)."""
        questions = [question_of(sample) for sample in samples]
        return self.bbox_head.head.fuse(levels, self.words(questions))[1]

    # ---- inference ----

    def predict(
        self,
        batch_inputs: Tensor,
        batch_data_samples: list,
        rescale: bool = True,
    ) -> list:
        """Do what each sample's task says.

        Args:
            batch_inputs: (B, 3, H, W).
            batch_data_samples: See the class.
            rescale: Whether boxes are of the original image.

        Returns:
            The samples with ``pred_instances``, ``pred_answer`` (and
            ``pred_answer_score``) or ``pred_caption``.
        """
        rows = self.rows_of_tasks(batch_data_samples)
        levels = self.extract_feat(batch_inputs)
        for sample in batch_data_samples:  # metrics ask for it
            sample.set_metainfo(dict(task=task_of(sample)))
        if rows['boxes']:
            own = part(levels, batch_data_samples, rows['boxes'])
            self.predict_levels(*own, rescale)
        if rows['vqa']:
            self.answer(*part(levels, batch_data_samples, rows['vqa']))
        if rows['caption']:
            self.tell(*part(levels, batch_data_samples, rows['caption']))
        return batch_data_samples

    def answer(self, levels: Sequence[Tensor], samples: list) -> None:
        """Answer the samples' questions."""
        found = self.vqa_head.predict(self.ask(levels, samples))
        for sample, (answer, score) in zip(samples, found):
            sample.pred_answer = answer
            sample.pred_answer_score = score

    def tell(self, levels: Sequence[Tensor], samples: list) -> None:
        """Write captions of the samples' images."""
        found = self.caption_head.tell(
            self.bbox_head.head, self.language_model, levels
        )
        for sample, (caption, _) in zip(samples, found):
            sample.pred_caption = caption


def task_of(sample) -> str:
    """Return what is wanted of a sample; see :class:`GLIPv2`."""
    if 'task' in sample:
        return sample.task
    if sample.get('text') is not None:
        return 'detection'
    if 'question' in sample:
        return 'vqa'
    return 'caption' if 'gt_caption' in sample else 'detection'


def part(levels: Sequence[Tensor], samples: list, rows: list[int]) -> tuple:
    """Return some rows of a batch: levels and samples."""
    if rows != list(range(len(samples))):
        levels = [level[rows] for level in levels]
    return levels, [samples[row] for row in rows]


def nothing(head: nn.Module) -> Tensor:
    """Return 0 with a gradient, as ranks must have the same parameters."""
    return sum(p.sum() for p in head.parameters()) * 0


def question_of(sample) -> str:
    """Return a sample's question.

    Raises:
        ValueError: It has none.
    """
    question = sample.get('question')
    if not isinstance(question, str) or not question.strip():
        raise ValueError(
            f'a sample of the task vqa has the question {question!r}: '
            "expected a text; add 'question' to the pipeline's meta_keys"
        )
    return question


def caption_of(sample) -> str:
    """Return the caption that a sample teaches: of several one by chance.

    Raises:
        ValueError: It has none.
    """
    given = sample.get('gt_caption')
    given = [given] if isinstance(given, str) else list(given or ())
    if not given:
        raise ValueError(
            'a sample of the task caption has no gt_caption: expected a text '
            "or several; add 'gt_caption' to the pipeline's meta_keys"
        )
    return given[int(torch.randint(len(given), ()))]
