"""Write a sketch as a picture of any size, and how it is drawn as a film.

N strokes, S segments; films draw stroke after stroke, each in the same time.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmclip.clipasso.analytic_rasterizer import AnalyticRasterizer
from mmclip.clipasso.svg import Drawing, path_data, svg_document
from mmclip.files import write_whole

LARGEST = 8192  # pixels


def draw_picture(
    drawing: Drawing, size: int | None = None, background=(1.0, 1.0, 1.0)
) -> np.ndarray:
    """Draw a sketch, uint8 RGB (H, W, 3).

    Args:
        drawing: The sketch.
        size: Pixels of the longer side; by default those of the canvas.
        background: Colour in [0, 1].

    Raises:
        ValueError: The size is below 1 or above 8192.
    """
    longer = max(drawing.size)
    size = longer if size is None else size
    if not 1 <= size <= LARGEST:
        raise ValueError(
            f'size is {size}, expected from 1 to {LARGEST} pixels'
        )
    zoom = size / longer
    canvas = [max(round(side * zoom), 1) for side in drawing.size]
    with torch.no_grad():
        image = AnalyticRasterizer()(
            drawing.points[None].cpu() * zoom,
            drawing.width[None].cpu() * zoom,
            drawing.rgba[None].cpu(),
            size=canvas,
            background=torch.tensor(background),
        )
    levels = (image[0, :3] * 255).round().clamp(0, 255)
    return levels.permute(1, 2, 0).to(torch.uint8).numpy()


def first_strokes(drawing: Drawing, count: float) -> Drawing:
    """Return a sketch as far as it is drawn.

    Args:
        drawing: The sketch.
        count: Strokes drawn; 2.5 are two and the first half of the third.
    """
    whole = min(int(count), len(drawing.points))
    parts = [value[:whole] for value in strokes_of(drawing)]
    if whole < len(drawing.points) and count > whole:
        points, width, rgba = (v[whole] for v in strokes_of(drawing))
        begun = beginning(points, count - whole)
        parts = [
            torch.cat([part, value[None]])
            for part, value in zip(parts, (begun, width, rgba))
        ]
    return Drawing(*parts, drawing.size)


def strokes_of(drawing: Drawing) -> tuple[Tensor, Tensor, Tensor]:
    """Return points, width and rgba."""
    return drawing.points, drawing.width, drawing.rgba


def beginning(segments: Tensor, share: float) -> Tensor:
    """Cut a path (S, 4, 2) at a share in (0, 1) of its parameter.

    What lies behind the cut shrinks to its point, so that S stays.
    """
    number, t = divmod(share * len(segments), 1)
    number = int(number)
    level, first = segments[number], [segments[number][0]]
    while len(level) > 1:  # de Casteljau
        level = torch.lerp(level[:-1], level[1:], t)
        first.append(level[0])
    end = first[-1].expand(len(segments) - number - 1, 4, 2)
    return torch.cat([segments[:number], torch.stack(first)[None], end])


def film(
    drawing: Drawing, size: int | None = None, frames_per_stroke: int = 3
) -> Iterator[np.ndarray]:
    """Yield frames (H, W, 3), from blank paper to the whole sketch."""
    total = len(drawing.points) * frames_per_stroke
    for k in range(total + 1):
        done = first_strokes(drawing, k / frames_per_stroke)
        yield draw_picture(done, size)


def write_png(path, drawing: Drawing, size: int | None = None) -> None:
    """Write a picture; see :func:`draw_picture`."""
    picture = Image.fromarray(draw_picture(drawing, size))
    write_whole(path, lambda file: picture.save(file, 'PNG', optimize=True))


def write_gif(
    path,
    drawing: Drawing,
    size: int | None = None,
    seconds: float = 3.0,
    frames_per_stroke: int = 3,
) -> None:
    """Write the drawing as an animation that ends with a second's rest."""
    frames = [
        Image.fromarray(frame).quantize(16, dither=Image.Dither.NONE)
        for frame in film(drawing, size, frames_per_stroke)
    ]
    each = max(int(seconds * 1000 / len(frames)), 20)
    times = [each] * (len(frames) - 1) + [1000]
    write_whole(
        path,
        lambda file: frames[0].save(
            file,
            'GIF',
            save_all=True,
            append_images=frames[1:],
            duration=times,
            loop=0,
        ),
    )


def write_mp4(
    path,
    drawing: Drawing,
    size: int | None = None,
    seconds: float = 3.0,
    frames_per_stroke: int = 3,
) -> None:
    """Write the drawing as a film.

    Raises:
        ImportError: imageio or its ffmpeg is not installed.
    """
    try:
        import imageio.v2 as imageio
        import imageio_ffmpeg  # noqa: F401  (what writes MP4)
    except ImportError as error:
        raise ImportError(
            "an MP4 needs imageio with ffmpeg: pip install 'mmclip[film]', "
            "or take 'gif'"
        ) from error
    frames = list(film(drawing, size, frames_per_stroke))
    rate = max(round(len(frames) / seconds), 1)

    def write(file: Path) -> None:
        imageio.mimwrite(
            file, frames + [frames[-1]] * rate, fps=rate, format='mp4'
        )

    write_whole(path, write)


def animated_svg_text(drawing: Drawing, seconds: float = 3.0) -> str:
    """Write a sketch as an SVG that draws itself, once.

    Viewers without animation show it whole.
    """
    count = len(drawing.points)
    paths = [
        f'  <path pathLength="1" stroke-dasharray="1 1.1" '
        f'd="{path_data(points)}" stroke-width="{2 * half:.6g}" '
        f'stroke="rgb({r}, {g}, {b})" stroke-opacity="{rgba[3]:.4g}">'
        '<animate attributeName="stroke-dashoffset" fill="freeze" '
        f'dur="{seconds:g}s" values="1.05;1.05;0;0" '
        f'keyTimes="0;{k / count:.4f};{(k + 1) / count:.4f};1"/></path>'
        for k, (points, half, rgba) in enumerate(
            zip(
                drawing.points.cpu(),
                drawing.width.tolist(),
                drawing.rgba.tolist(),
            )
        )
        for r, g, b in [[int(255 * v + 1e-3) for v in rgba[:3]]]
    ]
    white = ' <rect width="100%" height="100%" fill="white"/>'
    return svg_document(drawing.size, paths, [white])


def write_animated_svg(path, drawing: Drawing, seconds: float = 3.0) -> None:
    """Write an SVG that draws itself."""
    text = animated_svg_text(drawing, seconds)
    write_whole(path, lambda file: file.write_text(text, encoding='utf8'))
