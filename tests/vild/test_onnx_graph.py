import pytest
import torch
from mmdet.registry import MODELS, TASK_UTILS
from torchvision.ops import nms

from mmclip.vild.onnx_graph import (
    DetectorGraph,
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


@torch.no_grad()
def test_proposals_are_those_of_the_rpn(model):
    graph = DetectorGraph(model, (64, 96))
    image = torch.randint(0, 256, (64, 96, 3), dtype=torch.uint8)
    levels = model.extract_feat(graph.preprocess(image))
    boxes, real = graph.propose(levels)
    (expected,) = model.rpn_head.predict_by_feat(
        *model.rpn_head(levels), batch_img_metas=[dict(img_shape=(64, 96))]
    )
    assert boxes.shape == (32, 4)
    assert real.sum() == len(expected)
    torch.testing.assert_close(boxes[real], expected.bboxes)


@torch.no_grad()
def test_too_few_proposals_are_padded(model):
    graph = DetectorGraph(model, (64, 96))
    graph.propose.iou_threshold = 0.0  # all but a few suppress each other
    image = torch.randint(0, 256, (64, 96, 3), dtype=torch.uint8)
    boxes, real = graph.propose(model.extract_feat(graph.preprocess(image)))
    assert boxes.shape == (32, 4)
    assert 0 < real.sum() < 32
    assert (boxes[~real] == 0).all()
    found, scores, _, _ = graph(image)
    assert 0 < len(found) <= 5 * int(real.sum())  # five names
    assert (scores >= 0).all()


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
    'size', [None, (0, 64), (-1, -1), (64,), ('height', 'width')]
)
def test_a_size_that_is_not_fixed_is_refused(model, size):
    with pytest.raises(ValueError, match='of one size'):
        DetectorGraph(model, size)


def test_a_cascade_is_refused_by_name():
    from mmengine.hub import get_config

    config = get_config('mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py')
    config = config.model
    config.backbone.init_cfg = None
    with pytest.raises(ValueError, match='roi_head is CascadeRoIHead'):
        DetectorGraph(MODELS.build(config), (64, 64))


def test_a_one_stage_detector_is_refused(model):
    class OneStage(torch.nn.Module):
        data_preprocessor = model.data_preprocessor

    with pytest.raises(ValueError, match='roi_head is NoneType'):
        DetectorGraph(OneStage(), (64, 64))


def test_another_extractor_is_refused():
    config = tiny_vild()
    config.roi_head.bbox_roi_extractor.update(
        type='mmdet.GenericRoIExtractor', aggregation='sum'
    )
    config.roi_head.bbox_roi_extractor.pop('finest_scale')
    with pytest.raises(ValueError, match='GenericRoIExtractor'):
        DetectorGraph(MODELS.build(config), (64, 64))


def test_maximal_pooling_is_refused():
    config = tiny_vild()
    config.roi_head.bbox_roi_extractor.roi_layer.pool_mode = 'max'
    with pytest.raises(ValueError, match="pool_mode='avg'"):
        DetectorGraph(MODELS.build(config), (64, 64))


def test_an_empty_vocabulary_is_refused():
    config = tiny_vild()
    config.roi_head.bbox_head.cls_predictor_cfg.vocabulary = dict(
        type='mmclip.Vocabulary', embed_dims=16
    )
    with pytest.raises(ValueError, match='the vocabulary is empty'):
        DetectorGraph(MODELS.build(config), (64, 64))


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
