"""A sheet of plots whose colours are those of all our pictures.

Pictures are uint8 RGB (H, W, 3).
"""

from pathlib import Path

import numpy as np


class Sheet:
    """Plots in rows, as an array in the end; no window is opened.

    Args:
        count: How many plots.
        width: Of one, in inches of 120 pixels.
        height: Likewise.
        columns: Plots side by side at most.

    Attributes:
        axes (list): matplotlib's, one a plot.
        figure: matplotlib's.
    """

    def __init__(
        self,
        count: int = 1,
        width: float = 4.5,
        height: float = 3.2,
        columns: int = 3,
    ) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        columns = min(count, columns)
        rows = -(-count // columns)
        self.figure = Figure(
            figsize=(width * columns, height * rows),
            dpi=120,
            layout='constrained',
        )
        self.canvas = FigureCanvasAgg(self.figure)
        grid = self.figure.subplots(rows, columns, squeeze=False)
        self.axes = list(grid.flat)
        for spare in self.axes[count:]:
            spare.remove()
        del self.axes[count:]
        for axes in self.axes:
            axes.spines[['top', 'right']].set_visible(False)

    def picture(self) -> np.ndarray:
        """Return the sheet as an array (H, W, 3)."""
        self.canvas.draw()
        return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()


def tint(index: int) -> tuple[float, ...]:
    """Return the ``index``-th colour as matplotlib takes it."""
    from mmclip.visualization import colour_of

    return tuple((colour_of(index) / 255).tolist())


def with_labels(sources) -> list[tuple[str, str]]:
    """Split ``LABEL=PATH``; a bare path is labelled by its last part.

    Returns:
        (label, path) of each.
    """
    pairs = []
    for source in sources:
        label, equals, path = str(source).partition('=')
        if not equals or Path(source).exists():
            label, path = Path(source).resolve().name, str(source)
        pairs.append((label, path))
    return pairs
