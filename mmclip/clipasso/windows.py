"""Find the pixels that strokes may touch, and the nearest piece of each.

T strokes (of all images), Q curves, L pieces, n cells: a cell is one pixel
of one stroke. A stroke's window is the box of pixels around its pieces;
nothing larger than all windows, or than ``CHUNK`` pairs, is ever allocated.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mmclip.clipasso.curves import Pieces, enumerate_groups

REACH = 0.7072  # pixels from a cell's centre to its corner
NONE = 1 << 40  # no piece yet
EQUAL = 1e-5  # share by which squared distances may differ by rounding
CHUNK = 1 << 19  # pairs of a piece and a pixel looked at in one go


@dataclass
class Cells:
    """Hold the pixels near strokes.

    Attributes:
        stroke: Which stroke (n,), ascending.
        column: Of the pixel (n,).
        row: Of the pixel (n,).
        piece: The nearest piece of the stroke (n,).
        rival: A piece of another part of the stroke that is near and lies in
            another direction, -1 where there is none (n,).
    """

    stroke: Tensor
    column: Tensor
    row: Tensor
    piece: Tensor
    rival: Tensor


def boxes(pieces: Pieces, reach: Tensor, width: int, height: int) -> Tensor:
    """Return pixel ranges around pieces, cut to the canvas.

    Args:
        pieces: L pieces.
        reach: Pixels around each piece (L,).
        width: Columns of the canvas.
        height: Its rows.

    Returns:
        First column and row, end column and row (exclusive), int64 (4, L).
    """
    low = torch.minimum(pieces.start, pieces.end) - reach - 0.5
    high = torch.maximum(pieces.start, pieces.end) + reach - 0.5
    limit = low.new_tensor([[width], [height]])
    low = low.ceil().clamp(min=0).minimum(limit)
    high = high.floor().add(1).clamp(min=0).minimum(limit)
    return torch.cat([low, torch.maximum(low, high)]).long()


def stroke_windows(box: Tensor, stroke: Tensor, strokes: int) -> Tensor:
    """Unite the boxes (4, L) of each stroke's pieces, (4, T)."""
    used = (box[2] > box[0]) & (box[3] > box[1])
    stroke = stroke[used].expand(2, -1)
    low = box.new_full((2, strokes), 1 << 40)
    low.scatter_reduce_(1, stroke, box[:2, used], 'amin')
    high = box.new_zeros((2, strokes))
    high.scatter_reduce_(1, stroke, box[2:, used], 'amax')
    return torch.cat([torch.minimum(low, high), high])


def near_cells(
    pieces: Pieces, stroke: Tensor, radius: Tensor, width: int, height: int
) -> Cells:
    """Find every pixel that a stroke may cover a part of.

    Args:
        pieces: L pieces.
        stroke: The stroke of each (L,).
        radius: Half width of each stroke in pixels (T,).
        width: Columns of the canvas.
        height: Its rows.
    """
    reach = radius[stroke] + pieces.sagitta + REACH
    box = boxes(pieces, reach, width, height)
    window = stroke_windows(box, stroke, len(radius))
    wide, high = window[2] - window[0], window[3] - window[1]
    last = (wide * high).cumsum(0)  # (T,)
    first = last - wide * high
    total = int(last[-1]) if len(last) else 0
    nearest = reach.new_full((total,), torch.inf)
    chosen = torch.full((total,), NONE, device=box.device)

    def look():
        for some in chunks(box):
            yield pairs(pieces, some, box, reach, (window, first, stroke))

    looked = list(look()) if pixels_in(box) <= CHUNK else None
    for squared, place, piece in looked or look():
        choose(nearest, chosen, squared, place, piece)
    place = (chosen < NONE).nonzero()[:, 0]  # (n,)
    owner = torch.searchsorted(last, place, right=True)
    local = place - first[owner]
    cells = Cells(
        stroke=owner,
        column=local % wide[owner] + window[0, owner],
        row=local // wide[owner] + window[1, owner],
        piece=chosen[place],
        rival=torch.full_like(place, -1),
    )
    cut = (nearest[place].sqrt() - radius[owner]).abs() < 1.5
    for _, at, piece in looked or look():
        find_rivals(pieces, cells, cut, torch.searchsorted(place, at), piece)
    return cells


def choose(nearest, chosen, squared, place, piece) -> None:
    """Keep the nearest piece at each place, the first of equals.

    Args:
        nearest: Squared distances so far, changed in place.
        chosen: Their pieces, changed in place.
        squared: Squared distance of each pair.
        place: Its place.
        piece: Its piece.
    """
    before = nearest[place]
    nearest.scatter_reduce_(0, place, squared, 'amin')
    now = nearest[place]
    chosen[place[now < before * (1 - EQUAL)]] = NONE
    won = squared <= now * (1 + EQUAL)
    chosen.scatter_reduce_(0, place[won], piece[won], 'amin')


def find_rivals(pieces, cells: Cells, cut, cell: Tensor, piece: Tensor):
    """Note another part of the stroke that lies across a cell.

    Args:
        pieces: L pieces.
        cells: n cells; ``rival`` is changed in place.
        cut: Whether an edge may cut them (n,).
        cell: Cell of each pair.
        piece: Piece of each pair.
    """
    some = cut[cell] & ((piece - cells.piece[cell]).abs() > 1)
    cell, piece = cell[some], piece[some]
    at = torch.stack([cells.column[cell], cells.row[cell]]) + 0.5
    own, other = (
        at - nearest_on_chord(pieces, k, at)
        for k in (cells.piece[cell], piece)
    )
    lengths = (own**2).sum(0) * (other**2).sum(0)
    along = (own * other).sum(0)
    across = along < 0.7 * lengths.sqrt()
    cells.rival.scatter_reduce_(0, cell[across], piece[across], 'amax')


def pixels_in(box: Tensor) -> int:
    """Return how many pixels boxes (4, L) hold together."""
    return int(((box[2] - box[0]) * (box[3] - box[1])).sum())


def chunks(box: Tensor):
    """Yield indices of pieces whose boxes (4, L) hold about CHUNK pixels."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    kept = area.nonzero()[:, 0]
    if not len(kept):
        return
    number = area[kept].cumsum(0) // CHUNK
    yield from kept.split(torch.bincount(number).tolist())


def pairs(pieces: Pieces, some: Tensor, box: Tensor, reach: Tensor, windows):
    """Pair pieces with the pixels of their boxes and keep the near ones.

    Args:
        pieces: L pieces.
        some: Indices of those to look at.
        box: Pixels of each piece (4, L).
        reach: Pixels at which a cell is still near (L,).
        windows: Window (4, T), first place (T,) of each stroke, and the
            stroke of each piece (L,).

    Returns:
        Squared distance, place in the joined windows and piece of each pair.
    """
    window, first, stroke = windows
    wide = (box[2] - box[0])[some]
    group, number = enumerate_groups(wide * (box[3] - box[1])[some])
    row = torch.div(number, wide[group], rounding_mode='floor')
    column = number - row * wide[group]
    start, chord = pieces.start[:, some], (pieces.end - pieces.start)[:, some]
    corner = box[:2, some]
    offset = corner + 0.5 - start  # (2, some)
    dx = column + offset[0, group]
    dy = row + offset[1, group]
    chord_group = chord[:, group]
    share = (dx * chord_group[0] + dy * chord_group[1]) / (
        (chord**2).sum(0).clamp(min=1e-20)[group]
    )
    share = share.clamp(0, 1)
    squared = (dx - share * chord_group[0]) ** 2
    squared += (dy - share * chord_group[1]) ** 2
    near = squared <= (reach**2)[some][group]
    group, row, column = group[near], row[near], column[near]
    owner = stroke[some]  # (some,)
    stride = (window[2] - window[0])[owner]
    begin = first[owner] - window[0, owner] + corner[0]
    begin = begin + (corner[1] - window[1, owner]) * stride
    place = begin[group] + row * stride[group] + column
    return squared[near], place, some[group]


def chord_share(pieces: Pieces, piece: Tensor, at: Tensor) -> Tensor:
    """Return where on their chords points (2, n) are nearest, in [0, 1]."""
    start = pieces.start[:, piece]
    chord = pieces.end[:, piece] - start
    share = ((at - start) * chord).sum(0) / (chord**2).sum(0).clamp(min=1e-20)
    return share.clamp(0, 1)


def nearest_on_chord(pieces: Pieces, piece: Tensor, at: Tensor) -> Tensor:
    """Return the nearest points (2, n) on the chords of pieces."""
    start, end = pieces.start[:, piece], pieces.end[:, piece]
    return start + chord_share(pieces, piece, at) * (end - start)


def start_parameter(pieces: Pieces, piece: Tensor, at: Tensor) -> Tensor:
    """Return t where points (2, n) project on the chords of their pieces."""
    share = chord_share(pieces, piece, at)
    return pieces.t[piece] + share * pieces.step[piece]
