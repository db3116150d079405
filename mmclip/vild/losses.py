"""What ViLD minimises: distance to the teacher, open-vocabulary cross entropy.

N regions with a teacher, R sampled regions, K names, D embedding width.
"""

import torch
import torch.nn.functional as F
from mmdet.models.losses.utils import weight_reduce_loss
from torch import Tensor, nn

from mmclip.registry import MODELS

NOVEL_POLICIES = ('-inf', 'zero', None)


@MODELS.register_module()
class EmbeddingL1Loss(nn.Module):
    """Pull a student's embeddings to a teacher's in L1.

    Both sides are brought to length 1; differences are summed over D and
    averaged over the rows whose weight is not 0, so the loss does not depend
    on how many regions an image has. DetPro writes the same number as 256
    times the mean over all elements. Source: ViLD paper, eq. 4; weight 0.5 as
    in both implementations; the warm-up is OADP's (200 iterations).

    Args:
        loss_weight: Factor on the loss.
        warmup_iters: The factor grows linearly over so many training
            iterations; 0 starts with all of it. The count is saved in the
            checkpoint.
    """

    def __init__(self, loss_weight: float = 0.5, warmup_iters: int = 0):
        super().__init__()
        self.loss_weight = loss_weight
        self.warmup_iters = warmup_iters
        if warmup_iters:
            self.register_buffer('iters', torch.zeros((), dtype=torch.long))

    def forward(
        self, student: Tensor, teacher: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return the loss, a scalar.

        Args:
            student: Embeddings of any length (N, D).
            teacher: The same of the teacher (N, D).
            weights: Factor of each row (N,); 0 leaves a row out.

        Raises:
            ValueError: The widths differ, or a row that counts is not finite
                or all zeros.
        """
        check_widths(student, teacher)
        if weights is None:
            weights = student.new_ones(len(student))
        counted = weights > 0
        teacher = unit_teacher(teacher[counted].float())
        # half precision would lose what separates two unit vectors
        student_unit = F.normalize(student[counted].float(), dim=1)
        distances = (student_unit - teacher).abs().sum(dim=1)  # (N',)
        total = (distances * weights[counted].float()).sum()
        loss = total / counted.sum().clamp(min=1)
        return self.loss_weight * self._warmup() * loss

    def _warmup(self) -> float | Tensor:
        if not self.warmup_iters:
            return 1.0
        if self.training:
            self.iters += 1
        return (self.iters / self.warmup_iters).clamp(max=1)


def check_widths(student: Tensor, teacher: Tensor) -> None:
    """Raise a ValueError where the teacher is another one."""
    if student.shape != teacher.shape:
        raise ValueError(
            f'the teacher gave embeddings of shape {tuple(teacher.shape)} but '
            f'the student {tuple(student.shape)}: the embeddings must come '
            'from the image tower of the CLIP whose text tower made the '
            'vocabulary; extract them again with it'
        )


def unit_teacher(teacher: Tensor) -> Tensor:
    """Bring rows (N, D) to length 1.

    Raises:
        ValueError: A row is not finite or all zeros.
    """
    lengths = teacher.norm(dim=1, keepdim=True)
    wrong = ~(torch.isfinite(lengths) & (lengths > 0))
    if wrong.any():
        row = int(wrong.flatten().nonzero()[0])
        raise ValueError(
            f'{int(wrong.sum())} of {len(teacher)} teacher embeddings are '
            f'zero or not finite, the first in row {row}: extract the '
            'embeddings of these images again, or give the rows weight 0'
        )
    return teacher / lengths


@MODELS.register_module()
class OpenVocabCrossEntropyLoss(nn.Module):
    """Softmax cross entropy over names of which some have no labels.

    Where the vocabulary of a training holds novel names, they would be
    trained as wrong answers. :class:`mmclip.vild.ViLDRoIHead` tells which
    they are (``set_novel``); no list is written in a config. mmdet's box
    heads take this loss for their ``loss_cls``.

    Args:
        novel_policy: ``'-inf'`` leaves novel names out of the softmax
            (DetPro; the same as training without them). ``'zero'`` multiplies
            their logits by 0, so each stays as a constant (the TF release,
            vild_losses.py). ``None`` keeps them: the supervised detector.
        background_weight: Factor on regions of the background (0.9 in
            F-VLM's release).
        loss_weight: Factor on the loss.
        reduction: ``'mean'``, ``'sum'`` or ``'none'``.
    """

    custom_cls_channels = True  # mmdet then asks the two methods below

    def __init__(
        self,
        novel_policy: str | None = '-inf',
        background_weight: float = 1.0,
        loss_weight: float = 1.0,
        reduction: str = 'mean',
    ):
        super().__init__()
        if novel_policy not in NOVEL_POLICIES:
            raise ValueError(
                f'novel_policy is {novel_policy!r}, expected one of '
                f'{NOVEL_POLICIES}'
            )
        self.novel_policy = novel_policy
        self.background_weight = background_weight
        self.loss_weight = loss_weight
        self.reduction = reduction
        self.novel: Tensor | None = None  # (K,) bool

    def set_novel(self, novel: Tensor | None) -> None:
        """Say which of the K names have no labels (bool (K,), or None)."""
        self.novel = novel

    def get_cls_channels(self, num_classes: int) -> int:
        """Return the number of logits: the names and the background."""
        return num_classes + 1

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Return probabilities of logits (R, K + 1), in float32."""
        return cls_score.float().softmax(dim=-1)

    def mask(self, cls_score: Tensor) -> Tensor:
        """Apply the policy to logits (R, K + 1), the background last.

        Raises:
            ValueError: The mask is for another number of names.
        """
        if self.novel is None or self.novel_policy is None:
            return cls_score
        if len(self.novel) != cls_score.shape[1] - 1:
            raise ValueError(
                f'{len(self.novel)} names are marked as base or novel but '
                f'there are logits for {cls_score.shape[1] - 1}: give novel= '
                'to set_vocabulary together with the names'
            )
        masked = F.pad(self.novel, (0, 1)).to(cls_score.device)  # (K + 1,)
        fill = float('-inf') if self.novel_policy == '-inf' else 0.0
        return cls_score.masked_fill(masked, fill)

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Return the loss of logits (R, K + 1) and labels (R,).

        Args:
            cls_score: Logits, the background last.
            label: 0 to K; K is the background.
            weight: Factor of each row (R,).
            avg_factor: What a mean divides by; the rows by default.
            reduction_override: Replaces ``reduction`` in this call.

        Raises:
            ValueError: A label is a name that ``'-inf'`` leaves out.
        """
        self._check_labels(label)
        losses = F.cross_entropy(self.mask(cls_score), label, reduction='none')
        if self.background_weight != 1:
            background = label == cls_score.shape[1] - 1
            losses = losses * (1 + (self.background_weight - 1) * background)
        loss = weight_reduce_loss(
            losses,
            None if weight is None else weight.float(),
            reduction_override or self.reduction,
            avg_factor,
        )
        return self.loss_weight * loss

    def _check_labels(self, label: Tensor) -> None:
        if self.novel is None or self.novel_policy != '-inf':
            return
        masked = F.pad(self.novel, (0, 1)).to(label.device)[label]
        if masked.any():
            raise ValueError(
                f'{int(masked.sum())} regions have novel labels, such as '
                f'{int(label[masked][0])}, which novel_policy=-inf leaves '
                "out: read base annotations only (classes_of=('base', ))"
            )


@MODELS.register_module()
class MeanHuberLoss(nn.Module):
    """Huber loss averaged over the elements whose weight is not 0.

    mmdet's smooth L1 divides by all sampled regions and by ``beta``; the TF
    release divides by the elements that count and not by ``delta``. Source:
    tensorflow/tpu detection, losses.py.

    Args:
        delta: Where the parabola becomes a line.
        loss_weight: Factor on the loss.
    """

    def __init__(self, delta: float = 1.0, loss_weight: float = 1.0):
        super().__init__()
        self.delta, self.loss_weight = delta, loss_weight

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Return the loss; mmdet's ``avg_factor`` is not used."""
        if weight is None:
            weight = torch.ones_like(pred)
        losses = weight * F.huber_loss(
            pred.float(), target, reduction='none', delta=self.delta
        )
        count = (weight != 0).sum().clamp(min=1)
        return self.loss_weight * losses.sum() / count
