"""Run GroupViT's losses in several processes, as training does."""

import numpy as np
import torch
from ranks import run_ranks

from mmclip.groupvit.losses import MultiLabelContrastiveLoss


def losses_of_ranks(features: dict, world: int, log_scales: dict):
    """Return both losses that each rank sees, (W, 2)."""
    args = features, world, log_scales
    return np.array(run_ranks(losses_of_rank, args, world))


def losses_of_rank(features, world, log_scales, rank) -> list[float]:
    """Compute the losses of a rank's rows."""
    count = len(features['image']) // world
    rows = slice(rank * count, (rank + 1) * count)
    local = {k: torch.from_numpy(v[rows]) for k, v in features.items()}
    loss = MultiLabelContrastiveLoss()
    texts = dict(logit_scale=local['text'][:, None])
    if 'prompts' in local:
        texts['multi_label_logit_scale'] = local['prompts']
    return [
        loss(
            local['image'], text, torch.tensor(float(log_scales[scale]))
        ).item()
        for scale, text in texts.items()
    ]
