import pytest
import torch
from mmdet.registry import MODELS, TASK_UTILS
from torchvision.ops import nms

from mmclip.vild.onnx_steps import (
    LevelwiseRoIAlign,
    PerClassNMS,
    Preprocess,
    clip,
    clip_edges,
    nms_threshold,
)
from tests.vild.tiny import tiny_vild


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return MODELS.build(tiny_vild()).eval()


def test_preprocessing_is_that_of_the_data_preprocessor(model):
    image = torch.randint(0, 256, (50, 70, 3), dtype=torch.uint8)
    expected = model.data_preprocessor(
        dict(inputs=[image.permute(2, 0, 1)[[2, 1, 0]]], data_samples=None)
    )['inputs']
    own = Preprocess(model.data_preprocessor, (50, 70))(image)
    assert own.shape == (1, 3, 64, 96)
    torch.testing.assert_close(own, expected)


@pytest.mark.parametrize('count', [0, 1, 40])
def test_regions_are_pooled_from_their_level(model, count):
    extractor = model.roi_head.bbox_roi_extractor
    levels = tuple(torch.randn(1, 16, 64 // s, 64 // s) for s in (1, 2, 4, 8))
    corner, sides = torch.rand(count, 2) * 100, torch.rand(count, 2) * 150
    rois = torch.cat([torch.zeros(count, 1), corner, corner + sides], dim=1)
    torch.testing.assert_close(
        LevelwiseRoIAlign(extractor)(levels, rois), extractor(levels, rois)
    )
    torch.testing.assert_close(
        LevelwiseRoIAlign(extractor)(levels[:1], rois),
        extractor(levels[:1], rois),
    )


def test_names_are_suppressed_apart():
    torch.manual_seed(0)
    corner = torch.rand(30, 2) * 20
    boxes = torch.cat([corner, corner + 10 + torch.rand(30, 2) * 10], dim=1)
    scores = torch.rand(30, 4)
    kept = PerClassNMS.apply(boxes[None], scores.t()[None], 5, 0.5, 0.2)
    for name in range(4):
        own = nms(boxes, scores[:, name], 0.5)
        own = own[scores[own, name] > 0.2][:5]
        assert kept[kept[:, 1] == name, 2].tolist() == own.tolist()
    assert (kept[:, 0] == 0).all()


@pytest.mark.parametrize(
    ('coder', 'edges'),
    [
        (dict(type='mmdet.DeltaXYWHBBoxCoder'), [0, 0, 70, 50]),
        (dict(type='mmdet.LegacyDeltaXYWHBBoxCoder'), [0, 0, 69, 49]),
    ],
)
def test_a_coder_tells_where_it_clips(coder, edges):
    coder = TASK_UTILS.build(coder)
    box = torch.tensor([[-5.0, 10.0, 90.0, 90.0], [-9.0, -9.0, -2.0, 5.0]])
    assert clip_edges(coder, (50, 70)).tolist() == edges
    expected = coder.decode(box, torch.zeros(2, 4), max_shape=(50, 70))
    own = clip(
        coder.decode(box, torch.zeros(2, 4)), clip_edges(coder, (50, 70))
    )
    torch.testing.assert_close(own, expected)


def test_a_coder_that_does_not_clip_is_left_alone():
    coder = TASK_UTILS.build(
        dict(type='mmdet.DeltaXYWHBBoxCoder', clip_border=False)
    )
    box = torch.tensor([[-500.0, 10.0, 9000.0, 90.0]])
    assert torch.equal(clip(box, clip_edges(coder, (50, 70))), box)


@pytest.mark.parametrize(
    'config',
    [
        dict(type='soft_nms', iou_threshold=0.5),
        dict(type='nms', iou_threshold=0.5, class_agnostic=True),
        dict(type='nms', iou_threshold=0.5, max_num=10),
    ],
)
def test_other_suppression_is_refused(config):
    with pytest.raises(ValueError, match='cannot be exported'):
        nms_threshold(config)
    assert nms_threshold(dict(type='nms', iou_threshold=0.3)) == 0.3
