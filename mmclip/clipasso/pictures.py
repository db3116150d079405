"""Pictures of how a sketch comes about: beside its photograph, its start, its
loss.

All are uint8 RGB (H, W, 3).
"""

import cv2
import numpy as np
from torch import Tensor

from mmclip.clipasso.export import draw_picture
from mmclip.clipasso.svg import Drawing


def as_picture(image: Tensor) -> np.ndarray:
    """Return RGB in [0, 1] (3, H, W) as a picture."""
    levels = (image.detach().cpu() * 255).round().clamp(0, 255)
    return levels.byte().permute(1, 2, 0).numpy()


def beside(image: np.ndarray, drawing: Drawing) -> np.ndarray:
    """Put the photograph on the left and its sketch on the right."""
    return np.concatenate([image, draw_picture(drawing)], axis=1)


def start_picture(
    image: np.ndarray, share: np.ndarray | None, drawing: Drawing
) -> np.ndarray:
    """Tint a photograph by where strokes may start, with those that do.

    Args:
        image: The photograph (H, W, 3).
        share: Probabilities (H, W), or ``None``.
        drawing: The first strokes.
    """
    picture = image.copy()
    if share is not None and share.max() > 0:
        level = np.uint8(255 * share / share.max())
        heat = cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)[..., ::-1]
        picture = cv2.addWeighted(picture, 0.4, heat, 0.6, 0)
    for x, y in drawing.points[:, 0, 0].tolist():
        centre = (round(x), round(y))
        cv2.circle(picture, centre, 3, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(picture, centre, 2, (220, 30, 30), -1, cv2.LINE_AA)
    return picture


def loss_curves(losses: dict[int, list], title: str) -> np.ndarray:
    """Plot the evaluated loss of every seed.

    Args:
        losses: [iteration, loss] of each evaluation, by seed.
        title: Written above.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.2), dpi=100, layout='constrained')
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot(
        title=title, xlabel='steps', ylabel='evaluated loss'
    )
    for seed, curve in losses.items():
        axes.plot(*np.transpose(curve), label=f'seed {seed}', linewidth=1)
    axes.legend()
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
