"""Label pixels by their groups, without all scores at all pixels.

G groups of a window, K names, C combinations of groups, H x W pixels.

All pixels of a group have its scores, and where windows overlap, all pixels
that lie in the same groups have the mean of theirs. So names are compared
once a combination of groups, and pixels take what was found. Only where an
enlarged pixel lies between two combinations are its own scores computed.

Convention: maps are resized bilinearly with align_corners=False.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

AT_ONCE = 1 << 22  # scores of border pixels in memory


def combine(
    labels: Sequence[Tensor],
    tables: Sequence[Tensor],
    windows: Sequence[tuple],
    size: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Find which groups of all windows meet in one image, and where.

    Args:
        labels: Each window's group of every pixel (h, w).
        tables: Each window's scores of its groups (G, K).
        windows: What :func:`mmclip.clip.windows.windows_of` returned.
        size: (H, W) of the image.

    Returns:
        The combination of every pixel (H, W), and the mean scores of each
        (C, K), as :func:`mmclip.clip.windows.join_windows` would average
        them.
    """
    if len(windows) == 1:
        return labels[0], tables[0]
    places = [window[2:] for window in windows]
    codes = labels[0].new_empty(size)
    rows, count = [], 0
    for cell in cells(places):
        over = [k for k, place in enumerate(places) if holds(place, cell)]
        own, means = meet(
            [labels[k][within(cell, places[k])] for k in over],
            [tables[k] for k in over],
        )
        codes[cell] = own + count
        rows.append(means)
        count += len(means)
    return codes, torch.cat(rows)


def cells(places: Sequence[tuple[slice, slice]]) -> list[tuple[slice, slice]]:
    """Cut an image where any window begins or ends."""
    sides = []
    for axis in (0, 1):
        ends = {e for p in places for e in (p[axis].start, p[axis].stop)}
        ends = sorted(ends)
        sides.append([slice(a, b) for a, b in zip(ends, ends[1:])])
    return [(row, column) for row in sides[0] for column in sides[1]]


def holds(place: Sequence[slice], cell: Sequence[slice]) -> bool:
    """Tell whether a window covers a cell."""
    return all(
        p.start <= c.start and c.stop <= p.stop for p, c in zip(place, cell)
    )


def within(cell: Sequence[slice], place: Sequence[slice]) -> tuple[slice, ...]:
    """Return where a cell lies in a window."""
    return tuple(
        slice(c.start - p.start, c.stop - p.start) for c, p in zip(cell, place)
    )


def meet(
    labels: Sequence[Tensor], tables: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Number the combinations of groups in a cell, and average their scores.

    Args:
        labels: Every window's group of the cell's pixels (h, w).
        tables: Every window's scores (G, K).

    Returns:
        Combinations (h, w), those alone that occur, and their scores (C, K).
    """
    codes, sums = torch.zeros_like(labels[0]), torch.zeros_like(tables[0][:1])
    for label, table in zip(labels, tables):
        groups = len(table)
        codes, used = renumber(codes * groups + label, len(sums) * groups)
        sums = sums[used // groups] + table[used % groups]
    return codes, sums / len(labels)


def renumber(codes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Number anew the codes below ``count`` that occur; return those too."""
    occurs = torch.bincount(codes.flatten(), minlength=count) > 0
    return (occurs.cumsum(0) - 1)[codes], occurs.nonzero()[:, 0]


def best_names(codes: Tensor, scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the best name of every pixel at another size.

    Args:
        codes: Combination of every pixel (h, w).
        scores: Of the combinations (C, K).
        size: (H, W) of the result.

    Returns:
        Labels (H, W): the ``argmax`` of the resized maps of all names.
    """
    best = scores.argmax(dim=1)
    if tuple(codes.shape) == tuple(size):
        return best[codes]
    top, bottom, down = neighbours(codes, 0, size[0])
    left, right, across = neighbours(codes, 1, size[1])
    corners = [codes[r][:, c] for r in (top, bottom) for c in (left, right)]
    labels = best[corners[0]]
    mixed = torch.zeros_like(labels, dtype=torch.bool)
    for corner in corners[1:]:
        mixed |= corner != corners[0]
    row, column = mixed.nonzero(as_tuple=True)
    for part in range(0, len(row), step := max(AT_ONCE // scores.shape[1], 1)):
        r, c = row[part : part + step], column[part : part + step]
        a, b, x, y = (scores[corner[r, c]] for corner in corners)
        high = a + (b - a) * across[c, None]
        low = x + (y - x) * across[c, None]
        labels[r, c] = (high + (low - high) * down[r, None]).argmax(dim=1)
    return labels


def neighbours(
    codes: Tensor, axis: int, after: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Find what bilinear resizing along one axis mixes.

    Args:
        codes: A map.
        axis: Which of its axes.
        after: The new length L.

    Returns:
        The two old places of each new one (L,), and the second one's weight.
    """
    before = codes.shape[axis]
    middle = torch.arange(after, device=codes.device) + 0.5
    place = (middle * (before / after) - 0.5).clamp(min=0)
    first = place.long().clamp(max=before - 1)
    return first, (first + 1).clamp(max=before - 1), place - first
