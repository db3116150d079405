import json
import sys

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS

from mmclip.vild.export import (
    Difference,
    ExportedDetector,
    compare,
    count_firm,
    export_onnx,
    match,
    predict,
)
from tests.vild.tiny import NAMES, TABLE, tiny_vild

SIZE = (50, 70)  # neither square nor a multiple of the padding


def soft_model(**changes):
    """A tiny model whose scores differ: it was never trained to be sure."""
    torch.manual_seed(0)
    config = tiny_vild()
    head = config.roi_head.bbox_head.cls_predictor_cfg
    head.update(test_temperature=0.3)
    config.update(changes)
    return MODELS.build(config).eval()


@pytest.fixture(scope='module')
def model():
    return soft_model()


@pytest.fixture(scope='module')
def exported(model, tmp_path_factory):
    """The model in a file that also takes other names."""
    path = tmp_path_factory.mktemp('export') / 'deep' / 'tiny.onnx'
    export_onnx(model, path, SIZE, vocabulary_input=True)
    assert [p.name for p in path.parent.iterdir()] == ['tiny.onnx']
    return ExportedDetector(path, threads=1)


def pictures():
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 256, (3, *SIZE, 3)).astype(np.uint8)
    ramp = np.zeros((*SIZE, 3), np.uint8)
    ramp[..., 0] = np.linspace(0, 255, SIZE[1])
    return [*noise, ramp, np.full_like(ramp, 255)]


@pytest.mark.parametrize('image', pictures())
def test_a_file_finds_what_the_model_finds(model, exported, image):
    difference = compare(model, exported, image)
    assert difference.found == 20
    assert not difference.exceeds(1e-5), difference
    assert np.ptp(exported(image)['scores']) > 0.01


def test_detections_come_best_first_within_the_image(exported):
    found = exported(pictures()[0])
    assert (np.diff(found['scores']) <= 0).all()
    assert (found['boxes'] >= 0).all()
    assert (found['boxes'] <= [SIZE[1], SIZE[0]] * 2).all()
    assert found['masks'].shape == (20, 1, 28, 28)
    assert found['labels'].dtype == np.int64


def test_an_image_may_hold_nothing(model, tmp_path):
    images = pictures()
    best = [float(predict(model, image).scores.max()) for image in images]
    kept = model.roi_head.test_cfg.score_thr
    model.roi_head.test_cfg.score_thr = (min(best) + max(best)) / 2
    try:
        export_onnx(model, tmp_path / 'a.onnx', SIZE)
        exported = ExportedDetector(tmp_path / 'a.onnx', threads=1)
        counts = []
        for image in images:
            assert not compare(model, exported, image).exceeds(1e-5)
            found = exported(image)
            assert found['masks'].shape == (len(found['boxes']), 1, 28, 28)
            counts.append(len(found['boxes']))
    finally:
        model.roi_head.test_cfg.score_thr = kept
    assert min(counts) == 0 < max(counts)


@pytest.mark.parametrize('names', [NAMES[2:4], NAMES[:1], NAMES * 2])
def test_other_names_answer_as_after_set_vocabulary(model, exported, names):
    names = [f'{name} {i}' for i, name in enumerate(names)]
    table = np.random.default_rng(9).normal(size=(len(names), 16))
    image = pictures()[1]
    found = exported(image, 3 * table)  # any length
    model.set_vocabulary(table, names)
    try:
        expected = predict(model, image)
    finally:
        model.set_vocabulary(TABLE, NAMES)
    assert found['labels'].tolist() == expected.labels.tolist()
    np.testing.assert_allclose(found['scores'], expected.scores, atol=1e-5)
    np.testing.assert_allclose(found['boxes'], expected.bboxes, atol=1e-3)
    own = exported(image)  # the default is as it was
    assert set(own['labels'].tolist()) - {0, 1}


def test_the_file_says_what_its_labels_mean(model, exported):
    assert exported.names == NAMES
    assert exported.size == SIZE
    facts = exported.facts
    assert facts['embed_dims'] == 16
    assert facts['mean'] == model.data_preprocessor.mean.flatten().tolist()
    assert facts['mask_thr_binary'] == 0.5


def test_exporting_leaves_the_model_as_it_was(model, exported):
    assert not any(part.training for part in model.modules())
    assert type(model.roi_head.bbox_roi_extractor).__name__ == (
        'SingleRoIExtractor'
    )
    assert model.roi_head.vocabulary.names == NAMES


def test_a_model_without_masks_that_takes_bgr(tmp_path):
    config = tiny_vild()
    roi_head = config.roi_head
    for key in ('mask_head', 'mask_roi_extractor'):
        roi_head[key] = None
    roi_head.bbox_head.cls_predictor_cfg.update(test_temperature=0.3)
    config.update(type='mmdet.FasterRCNN')
    config.data_preprocessor.update(
        bgr_to_rgb=False, pad_mask=False, mean=[10.0, 60.0, 110.0]
    )
    config.test_cfg.rcnn.max_per_img = -1  # all that are found
    torch.manual_seed(1)
    model = MODELS.build(config).eval()
    export_onnx(model, tmp_path / 'boxes.onnx', SIZE)
    exported = ExportedDetector(tmp_path / 'boxes.onnx', threads=1)
    image = pictures()[2]
    assert set(exported(image)) == {'boxes', 'scores', 'labels'}
    difference = compare(model, exported, image)
    assert difference.found > 20
    assert not difference.exceeds(1e-5), difference
    turned = exported(image[..., ::-1].copy())
    assert not np.array_equal(turned['scores'], exported(image)['scores'])
    assert exported.facts['mean'] == [110.0, 60.0, 10.0]  # of RGB


@pytest.mark.parametrize(
    ('head', 'nms'),
    [
        ('shared', dict(type='nms', iou_threshold=0.5)),
        (dict(temperature=0.2), dict(type='mmclip.TopFirstNMS')),
    ],
)
def test_a_distilled_model_and_one_with_a_second_head(tmp_path, head, nms):
    torch.manual_seed(1)
    config = tiny_vild()
    config.roi_head.image_head = head
    config.test_cfg.rcnn.nms = nms
    classifier = config.roi_head.bbox_head.cls_predictor_cfg
    classifier.update(test_temperature=0.3)
    model = MODELS.build(config).eval()
    model.roi_head.base_names.set(NAMES[:3])
    export_onnx(model, tmp_path / 'model.onnx', SIZE)
    exported = ExportedDetector(tmp_path / 'model.onnx', threads=1)
    for image in pictures()[2:4]:
        difference = compare(model, exported, image)
        assert difference.found > 10
        assert not difference.exceeds(1e-5), difference


def test_another_answer_is_told_from_rounding(model, exported):
    image = pictures()[0]
    kept = model.roi_head.bbox_head.fc_cls.project.bias.data.clone()
    model.roi_head.bbox_head.fc_cls.project.bias.data += 0.05
    try:
        assert compare(model, exported, image).exceeds()
    finally:
        model.roi_head.bbox_head.fc_cls.project.bias.data.copy_(kept)
    assert not compare(model, exported, image).exceeds()
    assert Difference(3, scores=2e-4).exceeds()
    assert Difference(3, boxes=2e-4).exceeds()
    assert Difference(3, masks=2e-3).exceeds()
    assert Difference(3, unmatched=1).exceeds()


def test_equal_labels_nearby_are_paired_once(model, exported):
    image = pictures()[0]
    expected, found = predict(model, image), exported(image)
    pairs = match(expected, found, SIZE[1])
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == 20
    found['labels'] = found['labels'] + 1
    assert match(expected, found, SIZE[1]).shape == (0, 2)


def test_a_score_at_the_last_place_may_fall_on_either_side(exported):
    full = np.linspace(0.9, 0.5, 20)
    assert count_firm(np.array([0.50005]), full, exported) == 0
    assert count_firm(np.array([0.6]), full, exported) == 1
    assert count_firm(np.array([0.4]), full[:3], exported) == 1
    assert count_firm(np.array([5e-5]), full[:3], exported) == 0


def test_a_missing_package_names_the_extra(model, tmp_path, monkeypatch):
    path = tmp_path / 'a.onnx'
    monkeypatch.setitem(sys.modules, 'onnx', None)
    with pytest.raises(ImportError, match=r'onnx is not .*mmclip\[onnx\]'):
        export_onnx(model, path, SIZE)
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(ImportError, match=r'onnxruntime .*mmclip\[onnx\]'):
        ExportedDetector(path)


def test_a_failed_export_leaves_the_old_file(model, tmp_path, monkeypatch):
    import onnx

    path = tmp_path / 'a.onnx'
    path.write_bytes(b'old')

    def fail(proto):
        raise RuntimeError('disk full')

    monkeypatch.setattr(onnx.checker, 'check_model', fail)
    with pytest.raises(RuntimeError, match='disk full'):
        export_onnx(model, path, SIZE)
    assert path.read_bytes() == b'old'
    assert [p.name for p in tmp_path.iterdir()] == ['a.onnx']


def test_scores_that_depend_on_which_names_are_novel_need_baked_names(
    tmp_path,
):
    model = soft_model()
    model.roi_head.score_fusion = torch.nn.Identity()
    with pytest.raises(ValueError, match='which names are novel'):
        export_onnx(model, tmp_path / 'a.onnx', SIZE, vocabulary_input=True)


def test_metadata_are_json(exported):
    stored = exported.session.get_modelmeta().custom_metadata_map
    assert {key: json.loads(stored[key]) for key in stored} == exported.facts
