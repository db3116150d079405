"""Write the pixel embeddings of an image for others to use.

D embedding width, P principal components, h x w positions.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmclip.files import write_whole

STRIDES = (2, 4)


@torch.no_grad()
def pixel_embeddings(
    model,
    image: np.ndarray,
    *,
    stride: int = 2,
    dtype: torch.dtype = torch.float16,
) -> Tensor:
    """Embed the pixels of one image in the space of the text embeddings.

    Args:
        model: A segmentor with ``pixel_embeddings``, such as
            :class:`mmclip.lseg.LSeg`.
        image: uint8 (H, W, 3) RGB, as ``load_image`` gives it.
        stride: Image pixels a position, 2 or 4; at 4 the mean of four
            positions is brought to length 1 again.
        dtype: Of the result.

    Returns:
        Unit embeddings (D, h, w), h being H / stride rounded up.

    Raises:
        ValueError: The stride is another.
    """
    if stride not in STRIDES:
        raise ValueError(f'stride={stride}: expected one of {STRIDES}')
    bgr = torch.from_numpy(np.ascontiguousarray(image[..., ::-1]))
    data = dict(inputs=[bgr.permute(2, 0, 1)], data_samples=None)
    preprocessor = model.data_preprocessor
    kept, preprocessor.test_cfg = preprocessor.test_cfg, None
    try:  # the model pads by itself, so no sizes need to be kept
        inputs = preprocessor(data)['inputs']
    finally:
        preprocessor.test_cfg = kept
    found = model.pixel_embeddings(inputs)  # (1, D, h, w)
    if stride == 4:
        found = F.avg_pool2d(found, 2, ceil_mode=True, count_include_pad=False)
        found = F.normalize(found, dim=1)
    return found[0].to(dtype)


def principal(
    embeddings: Tensor, components: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Compress embeddings (D, h, w) to their P principal components.

    Args:
        embeddings: Of one image; they are worked on in float32.
        components: P, at most D and h * w.

    Returns:
        Coordinates (P, h, w), axes (P, D) of unit length, and the mean (D,);
        ``axes.T @ coordinates + mean`` gives back what was compressed.

    Raises:
        ValueError: There are fewer components than asked for.
    """
    flat = embeddings.float().flatten(1).T  # (h * w, D)
    if not 1 <= components <= min(flat.shape):
        raise ValueError(
            f'components={components}: {flat.shape[0]} positions of width '
            f'{flat.shape[1]} have 1 to {min(flat.shape)}'
        )
    mean = flat.mean(dim=0)
    centred = flat - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred)  # ascending
    axes = vectors[:, -components:].flip(1).T  # (P, D)
    turn = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True)).sign()
    axes = axes * turn  # signs are arbitrary: the largest entry is positive
    coordinates = (centred @ axes.T).T
    return coordinates.reshape(components, *embeddings.shape[1:]), axes, mean


def save_embeddings(
    path, embeddings: Tensor, components: int | None = None, **about
) -> None:
    """Write embeddings as .npz, whole or not at all.

    Args:
        path: The file.
        embeddings: (D, h, w).
        components: P, or None for no compression. With P the file holds
            ``coordinates``, ``axes`` and ``mean``, else ``embeddings``.
        about: Further arrays, such as ``stride=2``.
    """
    if components is None:
        arrays = dict(embeddings=embeddings.cpu().numpy())
    else:
        coordinates, axes, mean = principal(embeddings, components)
        arrays = dict(
            coordinates=coordinates.to(embeddings.dtype).cpu().numpy(),
            axes=axes.cpu().numpy(),
            mean=mean.cpu().numpy(),
        )

    def write(partial: Path) -> None:
        with partial.open('wb') as file:  # a name would get another ending
            np.savez_compressed(file, **arrays, **about)

    write_whole(path, write)
