import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from mmclip.clip.image import CLIPImageEncoder
from mmclip.vild.fvlm import FrozenCLIPScores
from mmclip.vild.levels import Levels, of_images
from mmclip.vild.score_fusion import Regions
from tests.clip.conftest import make_config
from tests.vild.test_roi_head import samples
from tests.vild.tiny import NAMES, tiny_vild

WIDTHS = dict(resnet=[32, 64, 128, 256], timm_convnext=[24, 32, 48, 64])


def table(width=24):
    rows = np.random.default_rng(3).normal(size=(len(NAMES), width))
    return dict(
        type='mmclip.EmbeddingTable', embeddings=rows, names=list(NAMES)
    )


def tiny_fvlm(kind='resnet'):
    """Return the config of a tiny F-VLM on a tower with random weights."""
    model = tiny_vild()
    model.type = 'mmclip.FVLM'
    model.backbone = dict(
        type='mmclip.CLIPImageEncoder', model=make_config(kind)
    )
    vocabulary = model.roi_head.bbox_head.cls_predictor_cfg.vocabulary
    vocabulary.text_encoder = table()
    model.roi_head.score_source = dict(type='mmclip.FrozenCLIPScores')
    model.roi_head.score_fusion = dict(
        type='mmclip.GeometricScoreFusion', base=0.35, novel=0.65
    )
    model.neck.in_channels = WIDTHS[kind]
    return model


@pytest.fixture(scope='module', params=['resnet', 'timm_convnext'])
def model(request):
    torch.manual_seed(0)
    return MODELS.build(tiny_fvlm(request.param)).eval()


@torch.no_grad()
def regions_of(model, images, rois):
    levels = model.extract_feat(images)
    texts = model.roi_head.vocabulary.embeddings
    return Regions(rois, None, levels, [], texts)


def test_the_whole_image_is_named_as_the_clip_names_it(model):
    images = torch.randn(2, 3, 224, 224)
    stride = model.backbone.region_stride
    rois = torch.tensor([[0, 0, 0, 224, 224], [1, 0, 0, 224, 224.0]])
    source = FrozenCLIPScores(output_size=224 // stride, temperature=0.1)
    found = source(regions_of(model, images, rois))
    whole = model.backbone.pooled(images)
    texts = model.roi_head.vocabulary.embeddings
    expected = (whole @ texts.T / 0.1).softmax(dim=1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_regions_in_parts_are_the_same_and_none_is_none(model):
    images = torch.randn(1, 3, 96, 96)
    rois = torch.rand(7, 5) * 40
    rois[:, 0], rois[:, 3:] = 0, rois[:, 3:] + 41
    regions = regions_of(model, images, rois)
    whole = FrozenCLIPScores()(regions)
    torch.testing.assert_close(FrozenCLIPScores(chunk=3)(regions), whole)
    regions.rois = rois[:0]
    assert FrozenCLIPScores()(regions).shape == (0, len(NAMES))


def test_the_frozen_scores_are_fused_into_what_is_found(model):
    image = torch.randn(1, 3, 96, 96)
    head = model.roi_head
    names = head.vocabulary.names
    head.base_names.set(names)
    with torch.no_grad():
        (fused,) = model.predict(image, samples(None, size=96))
        source, head.score_source = head.score_source, None
        (plain,) = model.predict(image, samples(None, size=96))
        head.score_source = source
    fused, plain = fused.pred_instances, plain.pred_instances
    assert fused.label_names == [names[k] for k in fused.labels.tolist()]
    assert not torch.equal(fused.scores[:5], plain.scores[:5])


def test_images_of_other_texts_each_read_their_own_map(model):
    torch.manual_seed(0)
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        both = model.predict(images, samples('cat . dog', 'cow', size=96))
        (alone,) = model.predict(images[1:], samples('cow', size=96))
    second, alone = both[1].pred_instances, alone.pred_instances
    assert set(second.label_names) == {'cow'}
    torch.testing.assert_close(
        second.scores, alone.scores, atol=1e-4, rtol=1e-3
    )


def test_training_leaves_the_clip_as_it_was():
    torch.manual_seed(0)
    model = MODELS.build(tiny_fvlm())
    model.train()
    before = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    sample = samples(None, size=96)[0]
    boxes = torch.tensor([[10.0, 10, 60, 70]])
    masks = np.ones((1, 96, 96), np.uint8)
    sample.gt_instances = InstanceData(
        bboxes=boxes,
        labels=torch.tensor([1]),
        masks=BitmapMasks(masks, 96, 96),
    )
    losses = model.loss(torch.randn(1, 3, 96, 96), [sample])
    total = sum(sum(v) if isinstance(v, list) else v for v in losses.values())
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=0.01
    )
    total.backward()
    optimizer.step()
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert model.neck.lateral_convs[0].conv.weight.grad.abs().sum() > 0


def test_a_vit_stands_under_the_pyramid_of_mmseg():
    config = tiny_fvlm()
    clip = make_config('vit')
    clip['vision_cfg'] = {**clip['vision_cfg'], 'layers': 4}
    config.backbone = dict(
        type='mmclip.CLIPImageEncoder', model=clip, out_indices=(0, 1, 2, 3)
    )
    bn = dict(type='BN')
    config.neck = [
        dict(type='mmseg.Feature2Pyramid', embed_dim=48, norm_cfg=bn),
        dict(config.neck, in_channels=[48] * 4),
    ]
    model = MODELS.build(config).eval()
    image = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        levels = model.extract_feat(image)
        (found,) = model.predict(image, samples(None, size=96))
    sides = [48, 24, 12, 6, 3]  # the patches of this tower are 8 px
    assert [level.shape[2] for level in levels] == sides
    assert levels.region_map.shape == (1, 24, 12, 12)
    assert len(found.pred_instances) > 0


def test_another_backbone_is_refused():
    config = tiny_vild()
    config.type = 'mmclip.FVLM'
    with pytest.raises(ValueError, match='mmclip.CLIPImageEncoder'):
        MODELS.build(config)


def test_a_neck_for_other_layers_is_refused():
    config = tiny_fvlm()
    config.backbone.out_indices = (1, 2, 3)
    with pytest.raises(ValueError, match=r'\[64, 128, 256\] channels but'):
        MODELS.build(config)


def test_the_source_says_that_it_needs_this_detector():
    regions = Regions(torch.zeros(1, 5), None, (torch.zeros(1),), [], None)
    with pytest.raises(ValueError, match="type='mmclip.FVLM'"):
        FrozenCLIPScores()(regions)


def test_the_text_tower_of_another_clip_is_refused(model):
    regions = regions_of(
        model, torch.randn(1, 3, 96, 96), torch.tensor([[0, 0, 0, 50, 50.0]])
    )
    regions.texts = torch.randn(3, 7)
    with pytest.raises(ValueError, match='24 wide.*vocabulary is 7 wide'):
        FrozenCLIPScores()(regions)


def test_levels_are_a_tuple_for_mmdet():
    encoder = CLIPImageEncoder(make_config('resnet'))
    levels = Levels(
        [torch.zeros(2, 1), torch.ones(2, 1)], torch.eye(2), encoder
    )
    first, second = levels
    assert isinstance(levels, tuple)
    part = of_images(levels, slice(1, 2))
    assert [len(x) for x in part] == [1, 1]
    assert part.region_map.tolist() == [[0, 1]]
    assert of_images((torch.arange(3),), slice(2, 3)) == (torch.tensor([2]),)


def test_a_detector_upon_a_frozen_clip_is_exported(tmp_path):
    from mmclip.vild.export import ExportedDetector, compare, export_onnx

    torch.manual_seed(0)
    config = tiny_fvlm('resnet')
    classifier = config.roi_head.bbox_head.cls_predictor_cfg
    classifier.update(test_temperature=0.3)
    config.roi_head.score_source.update(output_size=2, temperature=0.3)
    model = MODELS.build(config).eval()
    export_onnx(model, tmp_path / 'fvlm.onnx', (64, 96))
    exported = ExportedDetector(tmp_path / 'fvlm.onnx', threads=1)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3))
    difference = compare(model, exported, image.astype(np.uint8))
    assert difference.found > 10
    assert not difference.exceeds(1e-5), difference
