"""Name masks whose place is known: how well are names told apart?

IoU mixes finding with naming; here the true masks are given and only the
name is asked for (mmclip/evaluation/naming.py counts the answers).

R masks: one for each class that an image shows; K names, D embedding width,
h x w positions.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = 255


def mask_embeddings(pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Average the pixel embeddings of each class of one image.

    Args:
        pixels: Unit embeddings (D, h, w).
        labels: The true map (H, W), of any size; 255 is ignored.

    Returns:
        Unit embeddings (R, D) and the labels (R,), rising.
    """
    size = labels.shape[-2:]
    found = labels.unique()
    found = found[found != IGNORED]
    each = (labels[None] == found[:, None, None]).float()  # (R, H, W)
    if not len(found):
        return pixels.new_zeros(0, len(pixels)), found.long()
    # The share of each position that a mask covers, so no small one is lost.
    share = F.adaptive_avg_pool2d(each[None], _fit(pixels, size))[0]
    share = F.interpolate(share[None], pixels.shape[1:], mode='nearest')[0]
    sums = torch.einsum('rhw,dhw->rd', share, pixels.float())
    return F.normalize(sums, dim=1), found.long()


def _fit(pixels: Tensor, size) -> tuple[int, int]:
    return tuple(min(p, s) for p, s in zip(pixels.shape[1:], size))


@torch.no_grad()
def image_logits(
    model, dataset, names: Sequence[str]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each image's cosines (R, K) and labels (R,), the latter by name.

    The test pipeline may resize images but neither crop nor flip them.

    Args:
        model: A segmentor with ``pixel_embeddings`` and a vocabulary that
            holds ``names``, in eval mode.
        dataset: One of mmseg's with its test pipeline.
        names: The K names; masks of other classes are left out.
    """
    classes = list(dataset.metainfo['classes'])
    place = [names.index(c) if c in names else -1 for c in classes]
    vocabulary = model.decode_head.vocabulary
    texts = vocabulary.embeddings[[vocabulary.names.index(n) for n in names]]
    for item in (dataset[k] for k in range(len(dataset))):
        sample = item['data_samples']
        truth = sample.gt_sem_seg.data[0]
        batch = model.data_preprocessor(
            dict(inputs=[item['inputs']], data_samples=[sample])
        )
        # what the preprocessor padded is no part of the truth
        high, wide = sample.img_shape[:2]
        inputs = batch['inputs'][:, :, :high, :wide]
        pixels = model.pixel_embeddings(inputs)[0]
        means, labels = mask_embeddings(pixels, truth.to(pixels.device))
        kept = torch.tensor([place[k] for k in labels.tolist()]).long()
        own = kept >= 0
        yield (means[own.to(means.device)] @ texts.T).cpu(), kept[own]


def dataset_logits(
    model, dataset, names: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Return ``image_logits`` of all images, (R, K) and (R,).

    Raises:
        ValueError: No image shows one of the names.
    """
    parts = list(image_logits(model, dataset, list(names)))
    if not any(len(labels) for _, labels in parts):
        raise ValueError(
            f'none of the {len(dataset)} images shows one of the '
            f'{len(names)} names: check the maps and the classes'
        )
    logits, labels = zip(*parts)
    return torch.cat(logits), torch.cat(labels)
