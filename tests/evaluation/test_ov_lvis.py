import json
from pathlib import Path

import pytest
import torch
from mmengine.structures import InstanceData

from mmclip.evaluation import OVLVISMetric

BOX = [10.0, 10, 50, 50]


@pytest.fixture
def ann_file(tmp_path):
    """Two images; a rare, a common and a frequent class with one box each."""
    categories = [
        dict(id=i, name=f'n{i}', frequency=f, synset='s', image_count=1)
        for i, f in ((3, 'r'), (5, 'c'), (9, 'f'))
    ]
    images = [
        dict(
            id=i,
            width=99,
            height=99,
            neg_category_ids=[],
            not_exhaustive_category_ids=[],
        )
        for i in (1, 2)
    ]
    annotations = [
        dict(
            id=k + 1,
            image_id=image,
            category_id=category,
            area=1600,
            bbox=[10, 10, 40, 40],
            segmentation=[[10, 10, 50, 10, 50, 50, 10, 50]],
        )
        for k, (image, category) in enumerate([(1, 3), (1, 5), (2, 9)])
    ]
    path = tmp_path / 'lvis.json'
    path.write_text(
        json.dumps(
            dict(images=images, annotations=annotations, categories=categories)
        )
    )
    return str(path)


META = dict(classes=('n3', 'n5', 'n9'), category_ids=(3, 5, 9))


def evaluate(ann_file, found, meta=META, **options):
    metric = OVLVISMetric(ann_file, metric='bbox', **options)
    metric.dataset_meta = meta
    for image, labels in found.items():
        instances = InstanceData(
            bboxes=torch.tensor([BOX] * len(labels)).reshape(-1, 4),
            labels=torch.tensor(labels, dtype=torch.long),
            scores=torch.full((len(labels),), 0.9),
        )
        sample = dict(
            img_id=image, ori_shape=(99, 99), pred_instances=instances
        )
        metric.process({}, [sample])
    return metric.evaluate(len(found))


def test_rare_common_and_frequent_have_their_figures(ann_file):
    found = evaluate(ann_file, {1: [0], 2: [2]})
    assert found['lvis/bbox_APr'] == pytest.approx(1)
    assert found['lvis/bbox_APc'] == 0
    assert found['lvis/bbox_APf'] == pytest.approx(1)
    assert found['lvis/bbox_AP'] == pytest.approx(2 / 3)


def test_finding_nothing_is_zero(ann_file):
    assert evaluate(ann_file, {1: [], 2: []})['lvis/bbox_AP'] == 0


def test_an_unknown_measure_is_refused(ann_file):
    with pytest.raises(ValueError, match='proposal'):
        OVLVISMetric(ann_file, metric='proposal')


def test_a_limit_of_detections_is_kept(ann_file):
    """The rare class, fourth in its image, is beyond a limit of three."""
    found = {1: [1, 1, 1, 0], 2: [2]}
    assert evaluate(ann_file, found, max_dets=3)['lvis/bbox_APr'] == 0
    assert evaluate(ann_file, found)['lvis/bbox_APr'] > 0.99


def test_fixed_ap_limits_a_class_and_no_image(ann_file):
    options = dict(max_dets=3, fixed_ap=True)
    found = {1: [1, 1, 1, 0], 2: [2]}
    figures = evaluate(ann_file, found, **options)
    assert figures['lvis/bbox_APr'] == 0
    assert figures['lvis/bbox_fixed_APr'] > 0.99
    assert figures['lvis/bbox_fixed_AR'] > figures['lvis/bbox_AR@3']
    figures = evaluate(
        ann_file, {1: [0], 2: [0, 2]}, max_dets_per_class=1, **options
    )
    assert figures['lvis/bbox_fixed_APr'] > 0.99


def test_classwise_reports_every_class(ann_file):
    figures = evaluate(ann_file, {1: [0], 2: [2]}, classwise=True)
    assert figures['lvis/bbox_AP/n3'] == pytest.approx(1)
    assert figures['lvis/bbox_AP/n5'] == 0


def test_both_backends_say_the_same(ann_file):
    found = {1: [0, 1, 2], 2: [2, 2]}
    ours = evaluate(ann_file, found, fixed_ap=True, classwise=True)
    theirs = evaluate(
        ann_file, found, fixed_ap=True, classwise=True, backend='lvis'
    )
    assert ours == theirs
    assert len(ours) == 2 * 13 + 6


def test_without_category_ids_all_classes_are_in_the_order_of_ids(ann_file):
    names = dict(classes=('a', 'b', 'c'))
    found = evaluate(ann_file, {1: [0], 2: [2]}, meta=names)
    assert found['lvis/bbox_APr'] == pytest.approx(1)
    with pytest.raises(ValueError, match='2 classes without category_ids'):
        evaluate(ann_file, {1: [0]}, meta=dict(classes=('a', 'b')))


def test_categories_without_letters_are_an_error(ann_file, tmp_path):
    content = json.loads(Path(ann_file).read_text())
    del content['categories'][0]['frequency']
    path = tmp_path / 'bare.json'
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='frequency letter'):
        evaluate(str(path), {1: [0]})
