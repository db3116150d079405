"""An LSeg small enough to run in a few hundredths of a second."""

import numpy as np
import torch
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

NAMES = ['sky', 'dog', 'cow', 'tree', 'road', 'boat', 'other', 'house']
WIDTH = 16
TABLE = np.random.default_rng(3).normal(size=(len(NAMES), WIDTH))


def vocabulary(names=NAMES[:4]) -> dict:
    """Return a vocabulary's config, of random embeddings."""
    return dict(
        type='mmclip.Vocabulary',
        names=names and list(names),
        prompts='name',
        embed_dims=WIDTH,
        text_encoder=dict(
            type='mmclip.EmbeddingTable', embeddings=TABLE, names=NAMES
        ),
    )


def tiny_lseg(names=NAMES[:4], head=None, **model):
    """Build a ViT of four blocks with patches of 16, in eval mode."""
    torch.manual_seed(0)
    config = dict(
        type='mmclip.LSeg',
        data_preprocessor=dict(
            type='mmseg.SegDataPreProcessor',
            bgr_to_rgb=True,
            mean=[127.5] * 3,
            std=[127.5] * 3,
            size_divisor=32,
            pad_val=-1,
        ),
        backbone=dict(
            type='mmclip.LSegViT',
            model=dict(
                img_size=64,
                patch_size=16,
                embed_dims=32,
                depth=4,
                num_heads=2,
            ),
            out_indices=(0, 1, 2, 3),
        ),
        neck=dict(
            type='mmclip.DPTNeck',
            in_channels=[32] * 4,
            channels=8,
            reassemble=dict(
                out_channels=[8, 8, 16, 16], factors=[4, 2, 1, 0.5]
            ),
        ),
        decode_head=dict(
            type='mmclip.LSegHead',
            in_channels=8,
            vocabulary=vocabulary(names),
            **(head or {}),
        ),
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        built = MODELS.build({**config, **model})
        built.init_weights()
    with torch.no_grad():  # norms and biases that are not trivial
        for parameter in built.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return built.eval()


def sample(size=(64, 64), text=None, label=None, **meta):
    """Return a data sample, with ground truth where ``label`` is given."""
    made = SegDataSample(
        metainfo=dict(ori_shape=size, img_shape=size, pad_shape=size, **meta)
    )
    if text is not None:
        made.set_metainfo(dict(text=text))
    if label is not None:
        label = torch.as_tensor(label)
        if label.ndim == 0:
            label = label.expand(1, *size).clone()
        made.gt_sem_seg = PixelData(data=label.long())
    return made
