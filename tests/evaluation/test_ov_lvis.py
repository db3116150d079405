import json

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


def evaluate(ann_file, found):
    metric = OVLVISMetric(ann_file, metric='bbox')
    metric.dataset_meta = dict(
        classes=('n3', 'n5', 'n9'), category_ids=(3, 5, 9)
    )
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


def test_without_hotcoco_the_extra_is_named(monkeypatch):
    from mmclip.evaluation import ov_lvis

    monkeypatch.setitem(__import__('sys').modules, 'hotcoco', None)
    with pytest.raises(ModuleNotFoundError, match=r'mmclip\[lvis\]'):
        ov_lvis.import_hotcoco()
