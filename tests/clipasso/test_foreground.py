import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmclip.clipasso.foreground import ForegroundModel
from mmclip.clipasso.transforms import ApplyForegroundMask
from tests.lseg.tiny import NAMES, vocabulary

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
NORM = dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True)


def segmentor(head, scope='mmseg', **model) -> Config:
    resize = dict(type='mmseg.Resize', scale=(64, 64), keep_ratio=True)
    return Config(
        dict(
            default_scope=scope,
            model=dict(
                data_preprocessor=dict(
                    type='mmseg.SegDataPreProcessor', size=(64, 64), **NORM
                ),
                test_cfg=dict(mode='whole'),
                decode_head=head,
                **model,
            ),
            test_dataloader=dict(
                dataset=dict(
                    type='mmseg.ADE20KDataset',
                    pipeline=[
                        dict(type='LoadImageFromFile'),
                        resize,
                        dict(type='mmseg.LoadAnnotations'),
                        dict(type='mmseg.PackSegInputs'),
                    ],
                )
            ),
        )
    )


@pytest.fixture(scope='module')
def fcn() -> ForegroundModel:
    """A stock segmentor of mmseg, of random weights, on Cityscapes."""
    torch.manual_seed(0)
    config = segmentor(
        dict(
            type='mmseg.FCNHead',
            in_channels=32,
            channels=8,
            num_classes=19,
            norm_cfg=dict(type='BN'),
        ),
        type='mmseg.EncoderDecoder',
        backbone=dict(
            type='mmseg.ResNet',
            depth=18,
            base_channels=4,
            stem_channels=4,
            norm_cfg=dict(type='BN'),
        ),
    )
    model = ForegroundModel(config)
    model.model.dataset_meta = dict(classes=('background', 'car', 'cat'))
    return model


def prefer(model, label):
    """Let the last layer answer one label everywhere."""
    with torch.no_grad():
        model.model.decode_head.conv_seg.bias.zero_()
        model.model.decode_head.conv_seg.bias[label] = 1e4


def test_the_pixels_of_the_wanted_names_count(fcn):
    prefer(fcn, 2)
    assert fcn(IMAGE).shape == (48, 64)
    assert fcn(IMAGE).all()  # all but the background
    assert fcn(IMAGE, 'cat').all()
    assert not fcn(IMAGE, 'car').any()
    prefer(fcn, 0)
    assert not fcn(IMAGE).any()
    with pytest.raises(ValueError, match='knows none of dog: it knows'):
        fcn(IMAGE, 'dog')


def test_an_empty_answer_of_the_model_is_an_error(fcn, monkeypatch):
    prefer(fcn, 0)
    mask = ApplyForegroundMask('model', dict(config='unused.py'))
    monkeypatch.setattr(mask, '_network', fcn)
    with pytest.raises(ValueError, match=r'a\.png: the mask is empty'):
        mask(dict(img_path='a.png', image=IMAGE))
    prefer(fcn, 2)
    found = mask(dict(img_path='a.png', image=IMAGE))
    assert found['mask'].all()


def test_our_lseg_is_asked_in_words():
    torch.manual_seed(0)
    vit = dict(img_size=64, patch_size=16, embed_dims=32, depth=4, num_heads=2)
    config = segmentor(
        dict(
            type='mmclip.LSegHead',
            in_channels=8,
            vocabulary=vocabulary(NAMES[:2]),
        ),
        type='mmclip.LSeg',
        backbone=dict(
            type='mmclip.LSegViT', model=vit, out_indices=(0, 1, 2, 3)
        ),
        neck=dict(
            type='mmclip.DPTNeck',
            in_channels=[32] * 4,
            channels=8,
            reassemble=dict(
                out_channels=[8, 8, 16, 16], factors=[4, 2, 1, 0.5]
            ),
        ),
    )
    model = ForegroundModel(config, names=['boat'])
    boat = model(IMAGE)
    model.names = ['other']
    assert boat.shape == (48, 64)
    assert list(model.model.decode_head.vocabulary.names) == ['boat', 'other']
    assert (boat ^ ~boat).all()


def detector() -> Config:
    return Config(
        dict(
            default_scope='mmdet',
            model=dict(
                type='mmdet.RetinaNet',
                data_preprocessor=dict(
                    type='mmdet.DetDataPreprocessor',
                    pad_size_divisor=32,
                    **NORM,
                ),
                backbone=dict(
                    type='mmdet.ResNet',
                    depth=18,
                    base_channels=4,
                    norm_cfg=dict(type='BN'),
                ),
                neck=dict(
                    type='mmdet.FPN',
                    in_channels=[4, 8, 16, 32],
                    out_channels=8,
                    num_outs=5,
                ),
                bbox_head=dict(
                    type='mmdet.RetinaHead',
                    num_classes=3,
                    in_channels=8,
                    feat_channels=8,
                    stacked_convs=1,
                    anchor_generator=dict(
                        type='mmdet.AnchorGenerator',
                        octave_base_scale=4,
                        scales_per_octave=1,
                        ratios=[1.0],
                        strides=[4, 8, 16, 32, 64],
                    ),
                    bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder'),
                ),
                test_cfg=dict(
                    nms_pre=50,
                    min_bbox_size=0,
                    score_thr=0.0,
                    nms=dict(type='nms', iou_threshold=0.5),
                    max_per_img=9,
                ),
            ),
            test_dataloader=dict(
                dataset=dict(
                    type='mmdet.CocoDataset',
                    pipeline=[
                        dict(type='LoadImageFromFile'),
                        dict(
                            type='mmdet.Resize',
                            scale=(64, 64),
                            keep_ratio=True,
                        ),
                        dict(type='mmdet.LoadAnnotations', with_bbox=True),
                        dict(
                            type='mmdet.PackDetInputs',
                            meta_keys=(
                                'img_shape',
                                'ori_shape',
                                'scale_factor',
                            ),
                        ),
                    ],
                )
            ),
        )
    )


def test_the_boxes_of_a_detector_without_masks_are_filled():
    torch.manual_seed(0)
    model = ForegroundModel(detector(), score_thr=0.0)
    assert model.detects
    model.model.dataset_meta = dict(classes=('car', 'cat', 'dog'))
    every = model(IMAGE)
    parts = [model(IMAGE, name) for name in ('car', 'cat', 'dog')]
    assert every.any()
    assert (np.logical_or.reduce(parts) == every).all()
    model.score_thr = 1.1
    assert not model(IMAGE).any()
