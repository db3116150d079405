import pytest
import torch
from mmdet.registry import MODELS

from mmclip.vild.onnx_graph import DetectorGraph
from tests.vild.tiny import tiny_vild


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return MODELS.build(tiny_vild()).eval()


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


def test_a_model_elsewhere_than_on_the_cpu_is_refused():
    with pytest.raises(ValueError, match='on meta, expected the CPU'):
        DetectorGraph(MODELS.build(tiny_vild()).to('meta'), (64, 64))
