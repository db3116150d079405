"""A GLIP small enough to run in a tenth of a second."""

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

NAMES = ['red circle', 'blue square', 'cat', 'dog']
PIECES = [
    *('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'),
    *('red', 'circle', 'blue', 'square', 'cat', 'dog', 'cow', 'bird', '.'),
    *('a', 'and', 'man', 'walks', 'the', 'left', 'of', 'horse', '##s'),
]
WIDTH, WORDS = 16, 24


def tiny_bert(**options) -> dict:
    """Return the config of a language model of width 24."""
    config = dict(
        type='mmclip.GLIPBert',
        vocab_file=PIECES,
        vocab_size=len(PIECES),
        width=WORDS,
        layers=1,
        heads=2,
        max_positions=64,
        max_tokens=32,
    )
    return config | options


def tiny_head(**options) -> dict:
    """Return the config of a head of width 16 with two blocks."""
    config = dict(
        type='mmclip.GLIPHead',
        in_channels=WIDTH,
        feat_channels=WIDTH,
        language_dim=WORDS,
        num_dyhead_blocks=2,
        fusion=dict(embed_dim=32, num_heads=4),
        text_layer=dict(heads=2),
        dyconv=dict(num_groups=4),
        anchor_generator=dict(
            type='mmdet.AnchorGenerator',
            ratios=[1.0],
            octave_base_scale=8,
            scales_per_octave=1,
            strides=[8, 16, 32],
        ),
        bbox_coder=dict(type='mmclip.GLIPBBoxCoder'),
        loss_cls=dict(type='mmclip.TokenFocalLoss'),
        loss_bbox=dict(type='mmdet.GIoULoss', loss_weight=2.0),
        loss_centerness=dict(
            type='mmdet.CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0
        ),
    )
    return config | options


def tiny_image_side() -> dict:
    """Return configs of preprocessor, backbone and neck."""
    return dict(
        data_preprocessor=dict(
            type='mmdet.DetDataPreprocessor', pad_size_divisor=32
        ),
        backbone=dict(
            type='mmdet.ResNet',
            depth=18,
            base_channels=8,
            out_indices=(1, 2, 3),
        ),
        neck=dict(
            type='mmdet.FPN',
            in_channels=[16, 32, 64],
            out_channels=WIDTH,
            num_outs=3,
        ),
    )


def tiny_glip(head=None, test_cfg=None, **options) -> dict:
    """Return the config of a whole detector."""
    config = dict(
        type='mmclip.GLIPDetector',
        **tiny_image_side(),
        bbox_head=tiny_head(**(head or {})),
        language_model=tiny_bert(),
        train_cfg=dict(
            assigner=dict(
                type='mmdet.ATSSAssigner',
                topk=9,
                iou_calculator=dict(type='mmdet.BboxOverlaps2D_GLIP'),
            ),
            allowed_border=-1,
            pos_weight=-1,
        ),
        test_cfg=dict(
            nms_pre=100,
            score_thr=0.0,
            nms=dict(type='nms', iou_threshold=0.6, offset=1),
            max_per_img=20,
        )
        | (test_cfg or {}),
    )
    return config | options


def build(config: dict, seed: int = 0):
    """Build a detector with the same weights every time."""
    from mmdet.registry import MODELS

    torch.manual_seed(seed)
    return MODELS.build(config)


def sample(text=None, labels=(0,), size=(64, 96), **meta) -> DetDataSample:
    """Return a data sample with a box for each label."""
    height, width = size
    found = DetDataSample(
        metainfo=dict(
            img_shape=size,
            ori_shape=(height * 2, width * 2),
            pad_shape=size,
            batch_input_shape=size,
            scale_factor=(0.5, 0.5),
            **meta,
        )
    )
    if text is not None:
        found.set_metainfo(dict(text=text))
    corner = 10.0 * torch.arange(len(labels))[:, None] + torch.tensor([4.0, 6])
    boxes = torch.cat((corner, corner + 30), dim=1)
    found.gt_instances = InstanceData(
        bboxes=boxes, labels=torch.tensor(list(labels), dtype=torch.long)
    )
    return found


def images(count: int = 1, size=(64, 96)):
    """Return images (count, 3, h, w)."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, 3, *size, generator=generator)
