"""Name groups by the truth, to see what naming costs a segmentor.

H x W pixels, G groups.
"""

import numpy as np


def name_by_truth(
    groups: np.ndarray, truth: np.ndarray, ignore_index: int = 255
) -> np.ndarray:
    """Call each group what most of its pixels truly are.

    What is wrong in the result is the fault of the groups' borders alone;
    the rest of a segmentor's faults is that of its naming.

    Args:
        groups: Group of each pixel (H, W), integers from 0 on.
        truth: Label of each pixel (H, W).
        ignore_index: Label that does not count.

    Returns:
        Labels (H, W); ``ignore_index`` for a group of ignored pixels alone.
    """
    valid = truth != ignore_index
    names, compact = np.unique(truth[valid], return_inverse=True)
    count = int(groups.max()) + 1
    if not len(names):
        return np.full(groups.shape, ignore_index, truth.dtype)
    votes = np.zeros((count, len(names)), np.int64)
    np.add.at(votes, (groups[valid], compact), 1)  # (G, names)
    best = names[votes.argmax(axis=1)]
    best[votes.sum(axis=1) == 0] = ignore_index
    return best[groups]
