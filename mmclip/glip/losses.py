"""GLIPv2's losses beside GLIP's: words of all images, and masked words.

B images, A anchors of an image, L tokens, C widths of features and words, D
common width, R regions and W words of this rank.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmclip.clip.gathering import gather_rows, world_size
from mmclip.registry import MODELS


def soft_cross_entropy(logits: Tensor, fit: Tensor) -> Tensor:
    """Sum the cross entropy of rows whose targets are spread evenly.

    Args:
        logits: (N, M).
        fit: bool (N, M); rows without any true entry count nothing.
    """
    if not logits.numel():
        return logits.sum()
    target = fit.to(logits.dtype)
    target = target / target.sum(dim=1, keepdim=True).clamp(min=1)
    return -(target * logits.log_softmax(dim=1)).sum()


@MODELS.register_module()
class InterImageRegionWordLoss(nn.Module):
    """Contrast the regions of all images with the words of all images.

    Positive are the own caption's words for the region's box and, of other
    images, words that name the class of the region (GLIPv2, sec. 3.2).
    Features and words are those before the fusion, else an image would know
    its own words. Gradients flow into the rows of all ranks: the mean over
    ranks is the loss of the whole batch, its gradient that of one process.

    Args:
        region_dim: Channels of the feature levels.
        word_dim: Width of the words.
        hidden_dim: D.
        max_regions: Most regions of an image, drawn at random.
        gather: Whether the rows of other ranks take part.
        loss_weight: Factor on the loss.
        log_scale: First value of the learned logarithm of the temperature.
        official_quirks: Whether to compute what microsoft/GLIP's code does
            where it differs: the regions of each image's first box are left
            out but counted in the divisor, and rows of other ranks get no
            gradient. (Its config also contrasts fused words: that is up to
            the caller.)
    """

    def __init__(
        self,
        region_dim: int = 256,
        word_dim: int = 768,
        hidden_dim: int = 64,
        *,
        max_regions: int = 100,
        gather: bool = True,
        loss_weight: float = 1.0,
        log_scale: float = 0.0,
        official_quirks: bool = False,
    ) -> None:
        super().__init__()
        self.region_projection = nn.Linear(region_dim, hidden_dim)
        self.word_projection = nn.Linear(word_dim, hidden_dim)
        self.log_scale = nn.Parameter(torch.full((1,), float(log_scale)))
        self.max_regions = max_regions
        self.gather = gather
        self.loss_weight = loss_weight
        self.official_quirks = official_quirks

    def forward(
        self,
        features: Sequence[Tensor],
        words: Tensor,
        masks: Tensor,
        assigned: Tensor,
        box_tokens: Sequence[Tensor],
        box_classes: Sequence[Tensor],
        token_classes: Tensor,
    ) -> Tensor:
        """Return the loss.

        Args:
            features: Levels (B, C, h, w), one anchor a location.
            words: (B, L, C).
            masks: Which tokens are words, (B, L).
            assigned: Box of each anchor, -1 for background, (B, A); anchors
                in the order of levels, rows, columns.
            box_tokens: Of each image which tokens name its n boxes, (n, L).
            box_classes: Of each image the boxes' classes over all data sets,
                int (n,); negative where none is known (phrases).
            token_classes: Class that each token names, negative for none,
                (B, L).

        Raises:
            ValueError: The anchors are not those of the levels.
        """
        with torch.autocast(words.device.type, enabled=False):
            return self.loss_weight * self.loss(
                [level.float() for level in features],
                words.float(),
                masks.bool(),
                assigned,
                box_tokens,
                box_classes,
                token_classes,
            )

    def loss(
        self,
        features,
        words,
        masks,
        assigned,
        box_tokens,
        box_classes,
        token_classes,
    ) -> Tensor:
        """Return the loss without its weight, in float32."""
        rows = torch.cat([x.flatten(2) for x in features], 2).mT  # (B, A, C)
        if rows.shape[:2] != assigned.shape:
            raise ValueError(
                f'assigned has the shape {tuple(assigned.shape)} but the '
                f'levels have {tuple(rows.shape[:2])} images and locations: '
                'expected one anchor a location'
            )
        image, anchor = self.choose(assigned)  # (R,)
        regions = self.region_projection(rows[image, anchor])
        regions = F.normalize(regions, dim=-1) / self.log_scale.exp()
        of, token = masks.nonzero(as_tuple=True)  # (W,)
        said = F.normalize(self.word_projection(words[of, token]), dim=-1)
        box = assigned[image, anchor] + first_rows(box_tokens)[image]
        classes = torch.cat(list(box_classes))[box]  # (R,)
        named = token_classes[of, token]  # (W,)
        fit = torch.where(
            image[:, None] == of,
            torch.cat(list(box_tokens)).bool()[box][:, token],
            same_class(classes, named),
        )  # (R, W)
        count = (assigned >= 0).sum() if self.official_quirks else len(image)
        return self.contrast(regions, said, fit, classes, named, count)

    def choose(self, assigned: Tensor) -> tuple[Tensor, Tensor]:
        """Return image and anchor of R regions."""
        least = 1 if self.official_quirks else 0  # nonzero() of box indices
        chosen = [(own >= least).nonzero().flatten() for own in assigned]
        for i, own in enumerate(chosen):
            if len(own) > self.max_regions:
                order = torch.randperm(len(own), device=own.device)
                chosen[i] = own[order[: self.max_regions].sort().values]
        counts = torch.tensor([len(own) for own in chosen])
        image = torch.arange(len(chosen)).repeat_interleave(counts)
        return image.to(assigned.device), torch.cat(chosen)

    def contrast(self, regions, words, fit, classes, named, count) -> Tensor:
        """Compare with the rows of all ranks; divide by the mean count.

        Args:
            regions: Unit rows over the temperature, (R, D).
            words: Unit rows, (W, D).
            fit: Which own words fit the own regions, bool (R, W).
            classes: Class of each region, (R,).
            named: Class that each word names, (W,).
            count: Number of positive anchors on this rank.
        """
        count = torch.as_tensor(float(count), device=words.device)[None]
        (all_regions, all_classes), r = self.from_ranks(regions, classes)
        (all_words, all_named), w = self.from_ranks(words, named)
        (counts,), _ = self.from_ranks(count)
        word_fits = same_class(classes, all_named)  # (R, W')
        word_fits[:, w : w + len(words)] = fit
        region_fits = same_class(named, all_classes)  # (W, R')
        region_fits[:, r : r + len(regions)] = fit.t()
        total = soft_cross_entropy(regions @ all_words.t(), word_fits)
        total = total + soft_cross_entropy(
            words @ all_regions.t(), region_fits
        )
        return total / 2 / counts.mean().clamp(min=1)

    def from_ranks(self, *tensors: Tensor) -> tuple[list[Tensor], int]:
        """Return the rows of all ranks, and where the own ones begin."""
        if not self.gather or world_size() == 1:
            return list(tensors), 0
        if not self.official_quirks:
            return gather_rows(*tensors)
        gathered, start = gather_rows(*(x.detach() for x in tensors))
        for whole, own in zip(gathered, tensors):
            whole[start : start + len(own)] = own
        return gathered, start


def same_class(first: Tensor, second: Tensor) -> Tensor:
    """Tell which known classes are equal, bool (N, M)."""
    return (first[:, None] == second) & (first[:, None] >= 0)


def first_rows(parts: Sequence[Tensor]) -> Tensor:
    """Return where each part begins when all are concatenated."""
    counts = torch.tensor([0, *map(len, parts)], device=parts[0].device)
    return counts.cumsum(0)[:-1]


@MODELS.register_module()
class MaskedWordHead(nn.Module):
    """Guess masked words from the fused words around them (GLIPv2, L_mlm).

    Layers and names are those of BERT's prediction head.

    Args:
        language_dim: C.
        vocab_size: Number of ids.
        loss_weight: Factor on the loss.
        eps: Of the layer norm.
    """

    def __init__(
        self,
        language_dim: int = 768,
        vocab_size: int = 30522,
        *,
        loss_weight: float = 1.0,
        eps: float = 1e-12,
    ) -> None:
        super().__init__()
        self.transform = nn.ModuleDict(
            dict(
                dense=nn.Linear(language_dim, language_dim),
                LayerNorm=nn.LayerNorm(language_dim, eps=eps),
            )
        )
        self.decoder = nn.Linear(language_dim, vocab_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.loss_weight = loss_weight

    def forward(self, words: Tensor) -> Tensor:
        """Return the logits of every id, (..., C) to (..., vocab_size)."""
        x = F.gelu(self.transform['dense'](words))
        return self.decoder(self.transform['LayerNorm'](x)) + self.bias

    def loss(
        self, words: Tensor, masked: Sequence[Sequence[tuple[int, int]]]
    ) -> Tensor:
        """Return the mean cross entropy of the masked tokens.

        Args:
            words: Fused words (B, L, C).
            masked: Of each image ``(position, id)`` of its masked tokens, as
                ``mmclip.MaskWords`` stores them; none at all give 0.

        Raises:
            IndexError: A position or id does not exist.
        """
        picked = [
            (image, place, token)
            for image, own in enumerate(masked)
            for place, token in own
        ]
        length, size = words.shape[1], len(self.bias)
        for image, place, token in picked:
            if not (0 <= place < length and 0 <= token < size):
                raise IndexError(
                    f'image {image}: token {place} of {length} was id {token} '
                    f'of {size}: MaskWords needs the tokenizer of the model'
                )
        table = torch.tensor(picked, device=words.device).reshape(-1, 3).long()
        logits = self(words[table[:, 0], table[:, 1]]).float()  # (M, V)
        loss = F.cross_entropy(logits, table[:, 2], reduction='sum')
        return self.loss_weight * loss / max(1, len(picked))
