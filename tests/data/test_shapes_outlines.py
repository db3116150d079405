"""The outlines of the shapes world and their distance tables."""

import itertools

import numpy as np

from mmclip.data.shapes_concepts import SHAPES
from mmclip.data.shapes_outlines import (
    CELLS,
    REACH,
    distance_table,
    polygon_distance,
)


def test_polygon_distance_is_that_of_a_square():
    square = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    x, y = np.array([0.0, 2.0, 4.0, 0.5]), np.array([0.0, 0.0, 5.0, 0.75])
    expected = [-1, 1, 5, -0.25]  # inside, beside, off a corner, near an edge
    np.testing.assert_allclose(polygon_distance(square, x, y), expected)


def test_distance_tables_are_distances():
    cell = 2 * REACH / (CELLS - 1)
    for shape in SHAPES:
        table = distance_table(shape)
        assert table.min() < -0.1
        assert table[0].min() > 0  # the whole shape lies in the table
        assert np.abs(np.diff(table, axis=0)).max() < cell * 1.001


def test_outlines_differ_from_one_another():
    inside = {s: distance_table(s) < 0 for s in SHAPES}
    for a, b in itertools.combinations(SHAPES, 2):
        both = (inside[a] & inside[b]).sum()
        either = (inside[a] | inside[b]).sum()
        assert both / either < 0.85, (a, b)
