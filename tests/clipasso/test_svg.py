import io
import os

import numpy as np
import pytest
import torch
from PIL import Image

from mmclip.clipasso.analytic_rasterizer import AnalyticRasterizer
from mmclip.clipasso.curves import elevate, pad_segments
from mmclip.clipasso.svg import (
    Drawing,
    parse_svg,
    path_segments_of,
    read_svg,
    svg_text,
    write_svg,
)


def drawing(strokes=5, segments=2, size=(60, 80)):
    generator = torch.Generator().manual_seed(0)
    path = torch.rand(strokes, 3 * segments + 1, 2, generator=generator)
    path = path * torch.tensor([size[1], size[0]])
    points = torch.stack(
        [path[:, 3 * s : 3 * s + 4] for s in range(segments)], 1
    )
    width = 0.6 + 2 * torch.rand(strokes, generator=generator)
    levels = torch.randint(256, (strokes, 3), generator=generator) / 255
    opacity = torch.rand(strokes, 1, generator=generator)
    return Drawing(points, width, torch.cat([levels, opacity], 1), size)


def picture(sketch):
    batch = (v[None] for v in (sketch.points, sketch.width, sketch.rgba))
    raster = AnalyticRasterizer(samples=3)
    return raster(*batch, sketch.size, background=torch.ones(3))[0, :3]


@pytest.mark.parametrize('strokes', [1, 5])
def test_what_is_written_is_read_again(tmp_path, strokes):
    sketch = drawing(strokes)
    write_svg(tmp_path / 'sketch.svg', sketch)
    again = read_svg(tmp_path / 'sketch.svg')
    for name in ('points', 'width', 'rgba'):
        torch.testing.assert_close(getattr(again, name), getattr(sketch, name))
    assert again.size == sketch.size
    assert os.listdir(tmp_path) == ['sketch.svg']


def test_a_viewer_draws_the_same_picture():
    import resvg_py

    sketch = drawing()
    white = '<rect width="100%" height="100%" fill="white"/>'
    text = svg_text(sketch).replace(' <g ', f' {white}<g ')
    # enlarged, so that little is left of the viewer's own smoothing
    drawn = resvg_py.svg_to_bytes(svg_string=text, zoom=8)
    drawn = Image.open(io.BytesIO(bytes(drawn))).convert('RGB')
    theirs = torch.from_numpy(np.array(drawn)).permute(2, 0, 1)[None] / 255
    theirs = torch.nn.functional.avg_pool2d(theirs, 8)[0]
    ours = picture(sketch)
    assert theirs.shape == ours.shape
    decibels = -10 * torch.log10((ours - theirs).square().mean())
    assert decibels > 45


def test_segments_that_only_fill_up_are_not_written():
    line = elevate(torch.tensor([[0.0, 0], [9, 9]]))[None]
    long = drawing(1, 3).points[0]
    points = pad_segments([line, long])
    text = svg_text(Drawing(points, torch.ones(2), torch.ones(2, 4), (60, 80)))
    assert [d.count('C') for d in text.split('<path')[1:]] == [1, 3]


def test_relative_and_short_commands_draw_the_same():
    absolute = path_segments_of(
        'M 1 2 L 4 2 L 4 7 C 5 8 6 9 7 7 C 8 5 9 5 9 6'
    )
    relative = path_segments_of('m1,2h3v5c1 1 2 2 3 0s2-2 2-1')
    torch.testing.assert_close(absolute[0], relative[0])
    curved = path_segments_of('M0 0Q2 4 4 0T8 0')[0]
    torch.testing.assert_close(curved[1, 3], torch.tensor([8.0, 0]))
    torch.testing.assert_close(
        curved[1, 1], elevate(torch.tensor([[4.0, 0], [6, -4], [8, 0]]))[1]
    )


def test_a_closed_path_returns_and_another_may_follow():
    paths = path_segments_of('M1 1 5 1 5 5z M7 7L8 8')
    assert [len(p) for p in paths] == [3, 1]
    assert paths[0][2, 3].tolist() == [1, 1]


def test_groups_hand_down_what_a_path_does_not_say():
    text = (
        '<svg viewBox="0 0 20 10"><g stroke="#ff0000" stroke-width="4">'
        '<path d="M0 0L9 9" stroke-opacity=".5"/></g></svg>'
    )
    sketch = parse_svg(text)
    assert sketch.size == (10, 20)
    assert sketch.width.tolist() == [2]
    assert sketch.rgba.tolist() == [[1, 0, 0, 0.5]]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('no svg', 'this is no SVG'),
        ('<svg width="9" height="9"/>', 'no <path>'),
        ('<svg><path d="M0 0L1 1"/></svg>', 'height'),
        ('<svg width="9" height="9"><circle/></svg>', '<circle>'),
        (
            '<svg width="9" height="9"><g transform="scale(2)"/></svg>',
            'transform of <g>',
        ),
        (
            '<svg width="9" height="9"><path d="M0 0A1 1 0 0 0 2 2"/></svg>',
            "'A'",
        ),
        ('<svg width="9" height="9"><path d="M0 0L1"/></svg>', "'L'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_svg(text)
