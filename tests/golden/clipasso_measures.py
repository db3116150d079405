"""What CLIPasso's adapters measure errors with."""

import numpy as np
import torch
from cases import CaseError, Measured


def limit(meta: dict, *keys: str) -> float:
    """Return the first tolerance that the case states of several.

    Raises:
        CaseError: It states none of them as a number.
    """
    stated = meta['tolerance']
    for key in keys:
        if isinstance(stated, dict) and isinstance(
            stated.get(key), int | float
        ):
            return float(stated[key])
    raise CaseError(f'no tolerance is stated for {keys[0]}')


def rms(ours, theirs) -> float:
    difference = np.asarray(ours, float) - np.asarray(theirs, float)
    return float(np.sqrt(np.mean(difference**2)))


def relative(ours, theirs) -> float:
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    return float(
        np.linalg.norm(ours - theirs) / max(np.linalg.norm(theirs), 1e-12)
    )


def cosine(ours, theirs) -> float:
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    length = np.linalg.norm(ours) * np.linalg.norm(theirs)
    if not length:  # both silent, or one of them wrongly
        return float(np.array_equal(ours, theirs))
    return float((ours * theirs).sum() / length)


def picture(ours, theirs, decibels: float) -> Measured:
    """Measure the root mean square error of a picture in [0, 1]."""
    return Measured(rms(ours, theirs), 10 ** (-decibels / 20))


def direction(ours, theirs, least: float) -> Measured:
    """Measure how far a gradient's direction is off, as 1 - cosine."""
    return Measured(1 - cosine(ours, theirs), 1 - least)


def noise(ours, mean, error, least: float) -> Measured:
    """Measure how far a gradient is from a noisy mean, length included.

    A cosine of ``least`` lets vectors of one length be sqrt(2 - 2 least)
    apart; twice the mean's own standard error comes on top.
    """
    spread = 2 * np.linalg.norm(error) / max(np.linalg.norm(mean), 1e-12)
    return Measured(relative(ours, mean), np.sqrt(2 - 2 * least) + spread)


def sampled(ours, theirs, converged) -> Measured:
    """Measure the distance to a noisy picture: hardly more than its noise."""
    return Measured(rms(ours, theirs), 1.05 * rms(converged, theirs) + 1e-6)


def leaf(values) -> torch.Tensor:
    return torch.tensor(np.asarray(values, np.float32), requires_grad=True)


def size_of(meta: dict) -> tuple[int, int]:
    return meta['config']['canvas_height'], meta['config']['canvas_width']
