import pytest
import torch
from mmdet.registry import MODELS

from mmclip.vild.clip_on_crops import CropCLIPScores
from mmclip.vild.score_fusion import Regions
from tests.vild.test_roi_head import samples
from tests.vild.tiny import tiny_vild

SHAPES = dict(type='mmclip.CLIPTextEncoder', model='shapes-clip')
NAMES = ['red circle', 'blue square', 'green star']


def shapes_vild():
    """Return a tiny detector whose second source is shapes-clip on crops."""
    config = tiny_vild()
    config.roi_head.bbox_head.cls_predictor_cfg.vocabulary = dict(
        type='mmclip.Vocabulary',
        names=NAMES,
        prompts='single',
        text_encoder=SHAPES,
    )
    config.roi_head.score_source = dict(
        type='mmclip.CropCLIPScores', model='shapes-clip', mode='square'
    )
    torch.manual_seed(0)
    return MODELS.build(config).eval()


@pytest.fixture(scope='module')
def model():
    return shapes_vild()


def test_crops_of_drawn_objects_are_named(model):
    from mmclip.data.shapes import draw_scene, parse

    among = [parse(name) for name in NAMES]
    scenes = [draw_scene((5, i), 128, among, (1, 3)) for i in range(6)]
    pixels = [
        torch.from_numpy(s.image.copy()).permute(2, 0, 1) for s in scenes
    ]
    batch = dict(
        inputs=[p.flip(0) for p in pixels],  # BGR, as mmdet loads it
        data_samples=samples(*[None] * 6, size=128),
    )
    inputs = model.data_preprocessor(batch)['inputs']
    rois, truth = [], []
    for i, scene in enumerate(scenes):
        for entry in scene.objects:
            rois.append([i, *entry.box])
            truth.append(NAMES.index(entry.concept.name))
    with torch.no_grad():
        levels = model.extract_feat(inputs)
        found = model.roi_head.score_source(
            Regions(
                torch.tensor(rois).float(),
                None,
                levels,
                [dict(img_shape=(128, 128))] * 6,
                model.roi_head.vocabulary.embeddings,
            )
        )
    assert (found.argmax(1) == torch.tensor(truth)).float().mean() > 0.9
    torch.testing.assert_close(found.sum(1), torch.ones(len(found)))


def test_a_detector_fuses_them(model):
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        (found,) = model.predict(image, samples(None))
        (other,) = model.predict(image, samples('white heart . red ring'))
    assert set(found.pred_instances.label_names) <= set(NAMES)
    assert set(other.pred_instances.label_names) <= {
        'white heart',
        'red ring',
    }


def test_the_clip_is_in_no_checkpoint(model):
    model.roi_head.score_source.encoder  # noqa: B018  (loads it)
    assert not [key for key in model.state_dict() if 'score_source' in key]
    assert not list(model.roi_head.score_source.parameters())


def test_levels_without_images_are_refused():
    regions = Regions(torch.zeros(1, 5), None, (torch.zeros(1),), [], None)
    with pytest.raises(ValueError, match="type='mmclip.ViLD'"):
        CropCLIPScores()(regions)


def test_a_vocabulary_of_another_clip_is_refused(model):
    with torch.no_grad():
        levels = model.extract_feat(torch.zeros(1, 3, 64, 64))
    regions = Regions(torch.zeros(1, 5), None, levels, [], torch.ones(2, 7))
    with pytest.raises(ValueError, match='128 wide.*is 7 wide'):
        CropCLIPScores()(regions)


def test_it_cannot_be_exported(model, tmp_path):
    from mmclip.vild.export import export_onnx

    with pytest.raises(ValueError, match='CropCLIPScores cuts crops'):
        export_onnx(model, tmp_path / 'a.onnx', (64, 64))
