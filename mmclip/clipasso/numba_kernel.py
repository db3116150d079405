"""The analytic rasteriser as loops that numba compiles, for one CPU core.

T strokes of all images, S segments of each, Q = T * S curves, L pieces, n
cells, m places. The steps and formulas are those of ``curves.py``,
``windows.py``, ``nearest.py``, ``coverage.py`` and ``compositing.py``, whose
docstrings explain them; here they run cell by cell, so that cells far inside
a stroke cost nothing and no array is made on the way. All arithmetic is in
float64, pictures are in either precision.

Importing this module needs numba; nothing is compiled before the first call,
and what is compiled is kept on disk. It is one file because numba keeps code
for as long as the file that it was called from stays as it is.
"""

import math

import numpy as np
from numba import njit

from mmclip.clipasso.analytic_rasterizer import SHARP
from mmclip.clipasso.curves import MOST_PIECES, SAGITTA
from mmclip.clipasso.nearest import TINY
from mmclip.clipasso.windows import EQUAL, REACH

SMALLEST = 1e-12
compiled = njit(cache=True, nogil=True, error_model='numpy')


@compiled
def cut_curves(curves):
    """Return coefficients (Q, 8), pieces (L, 7) and the first of each (Q + 1).

    A piece is its ends (x, y, x, y), t, step and sagitta.
    """
    count = len(curves)
    power = np.empty((count, 8))
    bends, first = np.empty(count), np.zeros(count + 1, np.int64)
    for q in range(count):
        p, bend = curves[q], 0.0
        for a in range(2):
            power[q, a] = p[0, a]
            power[q, 2 + a] = 3 * (p[1, a] - p[0, a])
            power[q, 4 + a] = 3 * (p[0, a] - 2 * p[1, a] + p[2, a])
            power[q, 6 + a] = p[3, a] - p[0, a] + 3 * (p[1, a] - p[2, a])
        for k in range(2):
            x = p[k, 0] - 2 * p[k + 1, 0] + p[k + 2, 0]
            y = p[k, 1] - 2 * p[k + 1, 1] + p[k + 2, 1]
            bend = max(bend, 6 * math.sqrt(x * x + y * y))
        bends[q] = bend
        wanted = math.ceil(math.sqrt(bend / (8 * SAGITTA)))
        first[q + 1] = first[q] + min(max(wanted, 1), MOST_PIECES)
    pieces = np.empty((first[count], 7))
    for q in range(count):
        step = 1 / (first[q + 1] - first[q])
        for k in range(first[q], first[q + 1]):
            t = (k - first[q]) * step
            end = min(t + step, 1.0)
            for a in range(2):
                pieces[k, a] = position(power[q], a, t)
                pieces[k, 2 + a] = position(power[q], a, end)
            pieces[k, 4], pieces[k, 5] = t, step
            pieces[k, 6] = bends[q] * step * step / 8
    return power, pieces, first


@compiled
def position(c, axis, t):
    """Return a coordinate of a curve (8,) at t."""
    return ((c[6 + axis] * t + c[4 + axis]) * t + c[2 + axis]) * t + c[axis]


@compiled
def velocity(c, axis, t):
    """Return its first derivative."""
    return (3 * c[6 + axis] * t + 2 * c[4 + axis]) * t + c[2 + axis]


@compiled
def acceleration(c, axis, t):
    """Return its second derivative."""
    return 6 * c[6 + axis] * t + 2 * c[4 + axis]


@compiled
def chord_share(piece, x, y):
    """Return where on the chord of a piece a point is nearest, in [0, 1]."""
    dx, dy = piece[2] - piece[0], piece[3] - piece[1]
    along = (x - piece[0]) * dx + (y - piece[1]) * dy
    return min(max(along / max(dx * dx + dy * dy, TINY), 0.0), 1.0)


@compiled
def chord_offset(piece, x, y):
    """Return the vector from the nearest point of the chord."""
    share = chord_share(piece, x, y)
    return (
        x - piece[0] - share * (piece[2] - piece[0]),
        y - piece[1] - share * (piece[3] - piece[1]),
    )


@compiled
def piece_boxes(pieces, first, segments, radius, wide, high):
    """Return pixel ranges of pieces (L, 4), of strokes (T, 4), and reaches."""
    box = np.empty((len(pieces), 4), np.int64)
    window = np.zeros((len(radius), 4), np.int64)
    reach = np.empty(len(pieces))
    for s in range(len(radius)):
        window[s, 0], window[s, 1] = wide, high
        for k in range(first[s * segments], first[(s + 1) * segments]):
            p = pieces[k]
            r = radius[s] + p[6] + REACH
            reach[k] = r
            for a in range(2):
                side = high if a else wide
                low = math.ceil(min(p[a], p[2 + a]) - r - 0.5)
                end = math.floor(max(p[a], p[2 + a]) + r - 0.5) + 1
                box[k, a] = min(max(low, 0.0), side)
                box[k, 2 + a] = max(min(max(end, 0.0), side), box[k, a])
            if box[k, 2] > box[k, 0] and box[k, 3] > box[k, 1]:
                for a in range(2):
                    window[s, a] = min(window[s, a], box[k, a])
                    window[s, 2 + a] = max(window[s, 2 + a], box[k, 2 + a])
        for a in range(2):
            window[s, a] = min(window[s, a], window[s, 2 + a])
    return box, window, reach


@compiled
def find_cells(curves, radius, segments, wide, high):
    """Find the pixels near strokes, with the nearest piece and a rival.

    Returns:
        Coefficients (Q, 8), pieces (L, 7), the curve of each (L,), and cells
        (n, 5) of stroke, column, row, piece and rival or -1, with the squared
        distances of the chords (n,).
    """
    power, pieces, first = cut_curves(curves)
    box, window, reach = piece_boxes(
        pieces, first, segments, radius, wide, high
    )
    total, largest = 0, 0
    for s in range(len(radius)):
        area = (window[s, 2] - window[s, 0]) * (window[s, 3] - window[s, 1])
        total, largest = total + area, max(largest, area)
    cells, squared = np.empty((total, 5), np.int32), np.empty(total)
    nearest = np.full(largest, np.inf)  # of the stroke at hand
    chosen = np.empty(largest, np.int32)
    rival = np.full(largest, -1, np.int32)
    found = 0
    for s in range(len(radius)):
        own = range(first[s * segments], first[(s + 1) * segments])
        w = window[s]
        for k in own:
            choose(pieces[k], k, box[k], w, reach[k], nearest, chosen)
        for k in own:
            note_rival(
                pieces, k, box[k], w, reach[k], radius[s], nearest, chosen,
                rival,
            )  # fmt: skip
        place = 0
        for row in range(w[1], w[3]):
            for column in range(w[0], w[2]):
                if nearest[place] < np.inf:
                    cells[found, 0], cells[found, 1] = s, column
                    cells[found, 2], cells[found, 3] = row, chosen[place]
                    cells[found, 4] = rival[place]
                    squared[found] = nearest[place]
                    found += 1
                    nearest[place], rival[place] = np.inf, -1
                place += 1
    curve = np.empty(len(pieces), np.int32)
    for q in range(len(curves)):
        curve[first[q] : first[q + 1]] = q
    return power, pieces, curve, cells[:found], squared[:found]


@compiled
def choose(piece, k, box, window, reach, nearest, chosen):
    """Keep piece k where it is the nearest so far; the first of equals."""
    stride = window[2] - window[0]
    for row in range(box[1], box[3]):
        start = (row - window[1]) * stride - window[0]
        for column in range(box[0], box[2]):
            x, y = chord_offset(piece, column + 0.5, row + 0.5)
            far = x * x + y * y
            if far > reach * reach:
                continue
            place = start + column
            if far < nearest[place] * (1 - EQUAL):
                chosen[place] = k
            nearest[place] = min(nearest[place], far)


@compiled
def note_rival(
    pieces, k, box, window, reach, radius, nearest, chosen, rival
):  # fmt: skip
    """Note piece k where it lies across a cell that another is nearest to."""
    stride = window[2] - window[0]
    for row in range(box[1], box[3]):
        start = (row - window[1]) * stride - window[0]
        for column in range(box[0], box[2]):
            place = start + column
            if abs(k - chosen[place]) <= 1 or not nearest[place] < np.inf:
                continue
            if abs(math.sqrt(nearest[place]) - radius) >= 1.5:
                continue
            x, y = chord_offset(pieces[k], column + 0.5, row + 0.5)
            far = x * x + y * y
            if far > reach * reach:
                continue
            u, v = chord_offset(pieces[chosen[place]], column + 0.5, row + 0.5)
            if x * u + y * v < 0.7 * math.sqrt(far * (u * u + v * v)):
                rival[place] = max(rival[place], k)


@compiled
def refine(c, x, y, t, reach, steps):
    """Take guarded Newton steps towards the nearest point of a curve."""
    low, high = max(t - reach, 0.0), min(t + reach, 1.0)
    for _ in range(steps):
        u, v = velocity(c, 0, t), velocity(c, 1, t)
        dx, dy = x - position(c, 0, t), y - position(c, 1, t)
        speed = u * u + v * v
        slope = speed - dx * acceleration(c, 0, t) - dy * acceleration(c, 1, t)
        slope = max(max(slope, 0.25 * speed), TINY)
        before = t
        t = min(max(t + (dx * u + dy * v) / slope, low), high)
        if abs(t - before) < 1e-12:
            break
    return t


@compiled
def half_plane(s, long, short):
    """Return the area of a half plane in the unit square, and derivatives."""
    short = max(short, SMALLEST)
    away = abs(s)
    corner = min(max(0.5 * (long + short) - away, 0.0), short)
    inner = max(0.5 * (long - short) - away, 0.0)
    slope = corner / (long * short)
    tail = 0.5 * corner * slope + inner / long
    by_long = 0.5 * slope * (1 - corner / long) - inner / (long * long)
    by_short = 0.5 * slope * (1 - corner / short)
    if s < 0:
        return tail, slope, by_long, by_short
    return 1 - tail, slope, -by_long, -by_short


@compiled
def band(distance, radius, nx, ny, side):
    """Return what a band covers of a cell, and how that changes.

    Returns:
        Area, its derivatives by distance, radius and normal (x, y).
    """
    wide, high = abs(nx), abs(ny)
    long, short = max(wide, high), min(wide, high)
    area, near, by_long, by_short = half_plane(
        (radius - distance) / side, long, short
    )
    far = 0.0
    if radius < REACH * side:  # both edges may cut one cell
        less, far, back_long, back_short = half_plane(
            (-radius - distance) / side, long, short
        )
        area -= less
        by_long, by_short = by_long - back_long, by_short - back_short
    by_x, by_y = (by_long, by_short) if wide >= high else (by_short, by_long)
    return (
        area,
        (far - near) / side,
        (near + far) / side,
        by_x * np.sign(nx),
        by_y * np.sign(ny),
    )


@compiled
def measure(c, x, y, t, radius, side, place):
    """Measure a cell whose nearest point is at t.

    Args:
        c: Coefficients of its curve (8,).
        x: Centre of the cell.
        y: Likewise.
        t: Parameter.
        radius: Half width of the stroke.
        side: Of the cell.
        place: Filled with what the area changes with, (6,): t, the
            derivative by the radius and the two vectors of
            :func:`mmclip.clipasso.nearest.point_gradient`.

    Returns:
        Area, distance and bend.
    """
    ox, oy = x - position(c, 0, t), y - position(c, 1, t)
    tx, ty = velocity(c, 0, t), velocity(c, 1, t)
    ax, ay = acceleration(c, 0, t), acceleration(c, 1, t)
    speed = tx * tx + ty * ty
    length = math.sqrt(max(speed, TINY))
    distance = math.sqrt(ox * ox + oy * oy)
    along = (ox * tx + oy * ty) / length
    px, py = -ty / length, tx / length
    signed = ox * px + oy * py
    if signed < 0:
        px, py = -px, -py
    slope = speed - ox * ax - oy * ay
    inward = ax * px + ay * py
    is_round = abs(along) > 1e-3 + 0.02 * distance or speed < 1e-6
    if is_round or ((t <= 0 or t >= 1) and distance > 1e-3):
        d = max(distance, 1e-9)
        nx, ny = ox / d, oy / d
        nx += distance < 1e-9  # at the centre of a dot, any direction
        area, by_d, by_r, bx, by = band(distance, radius, nx, ny, side)
        across = bx * nx + by * ny
        least = max(distance, 1e-3)
        place[2] = -by_d * nx - (bx - across * nx) / least
        place[3] = -by_d * ny - (by - across * ny) / least
        place[4] = place[5] = 0
        bend = 1 / d
    else:
        distance = abs(signed)
        area, by_d, by_r, bx, by = band(distance, radius, px, py, side)
        turned = -(bx * tx + by * ty) / max(speed, TINY)
        moved = turned * inward / slope if slope > 0.02 * speed else 0.0
        place[2] = -by_d * px - moved * tx
        place[3] = -by_d * py - moved * ty
        place[4] = turned * px + moved * ox
        place[5] = turned * py + moved * oy
        bend = abs(inward) / max(slope, TINY)
    place[0], place[1] = t, by_r
    return area, distance, bend


@compiled
def cover_cells(curves, radius, segments, wide, high, divisions, steps):
    """Measure how much strokes cover of the pixels near them.

    Args:
        curves: Control points (Q, 4, 2).
        radius: Half widths (T,).
        segments: S.
        wide: Columns of the canvas.
        high: Its rows.
        divisions: As in :class:`AnalyticRasterizer`.
        steps: Of Newton.

    Returns:
        Cells (n, 5), their areas (n,), the number of each among the divided
        ones or -1 (n,), and what areas change with: the curve (m,) and what
        ``measure`` fills in (m, 6), once for whole cells, m = n, and once for
        the parts of the divided ones.
    """
    power, pieces, curve, cells, squared = find_cells(
        curves, radius, segments, wide, high
    )
    count, parts = len(cells), divisions * divisions
    area, number = np.empty(count), np.full(count, -1, np.int32)
    own, place = np.empty(count, np.int32), np.empty((count, 6))
    divided = 0
    for i in range(count):
        r, p = radius[cells[i, 0]], pieces[cells[i, 3]]
        own[i] = curve[cells[i, 3]]
        if math.sqrt(squared[i]) + p[6] < r - 0.75:  # wholly inside
            area[i], place[i] = 1, 0
            continue
        x, y = cells[i, 1] + 0.5, cells[i, 2] + 0.5
        c = power[own[i]]
        t = p[4] + chord_share(p, x, y) * p[5]
        t = refine(c, x, y, t, 1.5 * p[5], steps)
        area[i], d, bend = measure(c, x, y, t, r, 1.0, place[i])
        cut = abs(r - d) < 0.75 or d < 0.75 - r
        if divisions > 1 and cut and (bend > SHARP or cells[i, 4] >= 0):
            number[i] = divided
            divided += 1
    part_own = np.empty(divided * parts, np.int32)
    part_place = np.empty((divided * parts, 6))
    for i in range(count):
        if number[i] >= 0:
            first = number[i] * parts
            area[i] = divide(
                power, pieces, curve, cells[i], radius[cells[i, 0]],
                segments, divisions, steps, place[i, 0],
                part_own[first : first + parts],
                part_place[first : first + parts],
            )  # fmt: skip
        area[i] = min(max(area[i], 0.0), 1.0)
    return cells, area, number, own, place, part_own, part_place


@compiled
def divide(
    power, pieces, curve, cell, radius, segments, divisions, steps, start, own,
    place,
):  # fmt: skip
    """Measure the parts of a cell, each with the nearest part of its stroke.

    Args:
        power: Coefficients (Q, 8).
        pieces: (L, 7).
        curve: Of each piece (L,).
        cell: (5,).
        radius: Half width of its stroke.
        segments: S.
        divisions: Of each side.
        steps: Of Newton.
        start: Parameter of the cell's nearest point.
        own: Filled with the curves of the parts.
        place: Filled as by ``measure``.

    Returns:
        The mean of their areas.
    """
    side, total = 1 / divisions, 0.0
    reach, q, rival = 3 * pieces[cell[3], 5], curve[cell[3]], cell[4]
    for part in range(divisions * divisions):
        x = cell[1] + (part // divisions + 0.5) * side
        y = cell[2] + (part % divisions + 0.5) * side
        best = q
        t = refine(power[q], x, y, start, reach, steps)
        number = q % segments
        other = q
        if t > 0.5 and number < segments - 1:
            other = q + 1
        elif t <= 0.5 and number > 0:
            other = q - 1
        if other != q:
            at = refine(
                power[other], x, y, 0.0 if other > q else 1.0, 0.5, steps
            )
            if squared_from(power[other], x, y, at) < squared_from(
                power[best], x, y, t
            ):
                best, t = other, at
        if rival >= 0:
            p, other = pieces[rival], curve[rival]
            at = p[4] + chord_share(p, x, y) * p[5]
            at = refine(power[other], x, y, at, 1.5 * p[5], steps)
            if squared_from(power[other], x, y, at) < squared_from(
                power[best], x, y, t
            ):
                best, t = other, at
        own[part] = best
        area, _, _ = measure(power[best], x, y, t, radius, side, place[part])
        total += area
    return total / (divisions * divisions)


@compiled
def squared_from(c, x, y, t):
    """Return the squared distance of a curve's point."""
    dx, dy = x - position(c, 0, t), y - position(c, 1, t)
    return dx * dx + dy * dy


@compiled
def paint(cells, area, strokes, rgba, canvas):
    """Lay cells over a transparent canvas in the order of the strokes.

    Args:
        cells: (n, 5).
        area: (n,).
        strokes: N in each image.
        rgba: Straight colours (T, 4).
        canvas: Zeros (M, 4, H, W), painted upon.

    Returns:
        What lay below each cell (n, 4).
    """
    below = np.empty((len(cells), 4), canvas.dtype)
    for i in range(len(cells)):
        s, x, y = cells[i, 0], cells[i, 1], cells[i, 2]
        alpha, image = area[i] * rgba[s, 3], s // strokes
        for k in range(4):
            under = canvas[image, k, y, x]
            below[i, k] = under
            colour = rgba[s, k] if k < 3 else 1.0
            canvas[image, k, y, x] = under + alpha * (colour - under)
    return below


@compiled
def unpaint(cells, area, strokes, rgba, below, gradient):
    """Bring the canvas's gradient (M, 4, H, W) back to the cells.

    Returns:
        Gradients by the alpha of the cells (n,) and by RGBA (T, 4).
    """
    above = np.ones((gradient.shape[0], *gradient.shape[2:]))
    by_alpha, by_rgba = np.empty(len(cells)), np.zeros(rgba.shape)
    for i in range(len(cells) - 1, -1, -1):
        s, x, y = cells[i, 0], cells[i, 1], cells[i, 2]
        image, alpha = s // strokes, area[i] * rgba[s, 3]
        seen, change = above[image, y, x], 0.0
        for k in range(4):
            arrived = seen * gradient[image, k, y, x]
            colour = rgba[s, k] if k < 3 else 1.0
            change += arrived * (colour - below[i, k])
            if k < 3:
                by_rgba[s, k] += arrived * alpha
        by_alpha[i] = change
        by_rgba[s, 3] += change * area[i]
        above[image, y, x] = seen * (1 - alpha)
    return by_alpha, by_rgba


@compiled
def move_curves(
    cells, number, own, place, part_own, part_place, by_area, segments, curves,
    divisions,
):  # fmt: skip
    """Bring gradients by areas to control points and half widths.

    Args:
        cells: (n, 5).
        number: As of ``cover_cells``, and so are the next four.
        own: (n,).
        place: (n, 6).
        part_own: (m,).
        part_place: (m, 6).
        by_area: Gradient by each cell's area (n,).
        segments: S.
        curves: Q.
        divisions: Of a divided cell's side.

    Returns:
        Gradients (Q, 4, 2) and (T,).
    """
    by_points = np.zeros((curves, 4, 2))
    by_radius = np.zeros(curves // segments)
    parts = divisions * divisions
    for i in range(len(cells)):
        s, first = cells[i, 0], number[i] * parts
        if number[i] < 0:
            points = by_points[own[i]]
            by_radius[s] += move_one(place[i], by_area[i], points)
            continue
        for j in range(first, first + parts):
            points, weight = by_points[part_own[j]], by_area[i] / parts
            by_radius[s] += move_one(part_place[j], weight, points)
    return by_points, by_radius


@compiled
def move_one(place, weight, points):
    """Add to a curve's gradient (4, 2); return what its width gets."""
    t, by_radius, px, py, qx, qy = place
    u = 1 - t
    basis = (u * u * u, 3 * t * u * u, 3 * t * t * u, t * t * t)
    slope = (-3 * u * u, 3 * u * (u - 2 * t), 3 * t * (2 * u - t), 3 * t * t)
    for k in range(4):
        points[k, 0] += weight * (basis[k] * px + slope[k] * qx)
        points[k, 1] += weight * (basis[k] * py + slope[k] * qy)
    return weight * by_radius
