import io
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from mmclip.clipasso.export import (
    animated_svg_text,
    beginning,
    draw_picture,
    film,
    first_strokes,
    write_gif,
    write_mp4,
)
from mmclip.clipasso.svg import Drawing, svg_text

SIZE = (40, 60)


def lines(count=3, segments=1):
    """Horizontal lines, one below the other."""
    x = torch.linspace(10, 50, 3 * segments + 1)
    strokes = []
    for k in range(count):
        path = torch.stack([x, torch.full_like(x, 8.0 + 10 * k)], 1)
        strokes.append(
            torch.stack([path[3 * s : 3 * s + 4] for s in range(segments)])
        )
    return Drawing(
        torch.stack(strokes),
        torch.full((count,), 1.5),
        torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(count, 4),
        SIZE,
    )


@pytest.mark.parametrize('size', [None, 30, 240])
def test_a_picture_of_any_size_shows_the_same(size):
    picture = draw_picture(lines(), size)
    side = size or 60
    assert picture.shape == (round(side * 40 / 60), side, 3)
    ink = (255 - picture).mean() / 255
    assert ink == pytest.approx(
        (255 - draw_picture(lines())).mean() / 255, rel=0.03
    )


def test_a_picture_is_what_an_svg_viewer_shows():
    resvg = pytest.importorskip('resvg_py')
    png = resvg.svg_to_bytes(
        svg_string=svg_text(lines()), width=240, background='white'
    )
    shown = np.asarray(Image.open(io.BytesIO(bytes(png))).convert('RGB'))
    ours = draw_picture(lines(), 240)
    assert np.abs(shown.astype(float) - ours).mean() < 0.5


@pytest.mark.parametrize('segments', [1, 3])
@pytest.mark.parametrize('share', [0.2, 0.5, 0.9])
def test_the_beginning_of_a_stroke_ends_where_it_should(segments, share):
    path = lines(1, segments).points[0]
    cut = beginning(path, share)
    assert cut.shape == path.shape
    torch.testing.assert_close(cut[0, 0], path[0, 0])
    assert cut[-1, -1, 0].item() == pytest.approx(10 + 40 * share, abs=1e-3)


def test_films_lay_stroke_upon_stroke():
    frames = list(film(lines(2), frames_per_stroke=2))
    ink = [int((255 - f.astype(int)).sum()) for f in frames]
    assert len(frames) == 5
    assert ink[0] == 0
    assert all(a < b for a, b in zip(ink, ink[1:]))
    assert (frames[-1] == draw_picture(lines(2))).all()
    assert len(first_strokes(lines(2), 1.5).points) == 2
    assert len(first_strokes(lines(2), 9).points) == 2


def test_a_gif_ends_with_the_whole_sketch(tmp_path):
    write_gif(tmp_path / 'a.gif', lines(2), frames_per_stroke=2)
    with Image.open(tmp_path / 'a.gif') as gif:
        assert gif.n_frames == 5
        gif.seek(4)
        last = np.asarray(gif.convert('RGB')).astype(float)
    assert np.abs(last - draw_picture(lines(2))).mean() < 3


def test_an_animated_svg_shows_its_end_where_nothing_moves():
    resvg = pytest.importorskip('resvg_py')
    text = animated_svg_text(lines(2), seconds=2)
    assert text.count('<animate ') == 2
    assert 'keyTimes="0;0.5000;1.0000;1"' in text
    png = resvg.svg_to_bytes(svg_string=text)
    shown = np.asarray(Image.open(io.BytesIO(bytes(png))).convert('RGB'))
    whole = draw_picture(lines(2)).astype(float)
    assert np.abs(shown - whole).mean() < 2


def test_an_mp4_without_imageio_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'imageio', None)
    with pytest.raises(ImportError, match=r'mmclip\[film\]'):
        write_mp4(tmp_path / 'a.mp4', lines())
    assert not list(tmp_path.iterdir())


def test_an_mp4_is_handed_to_imageio(tmp_path, monkeypatch):
    got = {}

    def mimwrite(path, frames, **options):
        path.write_bytes(b'film')
        got.update(options, frames=len(frames))

    package = types.ModuleType('imageio')
    package.v2 = types.ModuleType('imageio.v2')
    package.v2.mimwrite = mimwrite
    monkeypatch.setitem(sys.modules, 'imageio', package)
    monkeypatch.setitem(sys.modules, 'imageio.v2', package.v2)
    ffmpeg = types.ModuleType('imageio_ffmpeg')
    monkeypatch.setitem(sys.modules, 'imageio_ffmpeg', ffmpeg)
    write_mp4(tmp_path / 'a.mp4', lines(2), seconds=1, frames_per_stroke=2)
    assert got == dict(fps=5, format='mp4', frames=10)
    assert [f.name for f in tmp_path.iterdir()] == ['a.mp4']


def test_no_picture_of_no_size():
    for size in (0, 10**5):
        with pytest.raises(ValueError, match='expected from 1'):
            draw_picture(lines(), size)
