import torch

from mmclip.clipasso import windows
from mmclip.clipasso.curves import cut, polynomial
from mmclip.clipasso.windows import near_cells


def look(points, radius, width, height):
    points = torch.tensor(points)
    pieces = cut(points, polynomial(points))
    return near_cells(
        pieces, pieces.curve, torch.tensor(radius), width, height
    )


SMALL = [[5.0, 5], [8, 9], [14, 3], [18, 12]]
FAR = [
    [900_005.0, 700_005],
    [900_009, 700_011],
    [900_014, 700_003],
    [900_018, 700_012],
]


def test_memory_is_bounded_by_the_windows_of_the_strokes():
    # one byte a pixel of this canvas would be a terabyte
    cells = look([SMALL, FAR], [1.5, 2.0], 10**6, 10**6)
    assert 50 < len(cells.stroke) < 400
    assert set(cells.stroke.tolist()) == {0, 1}
    assert cells.column[cells.stroke == 1].min() > 900_000


def test_every_touched_pixel_is_found_once(brute_force):
    cells = look([SMALL], [2.5], 24, 16)
    place = cells.row * 24 + cells.column
    assert len(place.unique()) == len(place)
    touched = brute_force([SMALL], 2.5, (16, 24)).flatten() > 0
    found = torch.zeros(16 * 24, dtype=torch.bool)
    found[place] = True
    assert found[torch.from_numpy(touched)].all()


def test_small_chunks_find_the_same(monkeypatch):
    whole = look([SMALL, SMALL[::-1]], [1.5, 4.0], 24, 16)
    monkeypatch.setattr(windows, 'CHUNK', 40)
    parts = look([SMALL, SMALL[::-1]], [1.5, 4.0], 24, 16)
    for name in ('stroke', 'column', 'row'):
        assert getattr(whole, name).equal(getattr(parts, name))
