import contextlib
import io
import json

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmclip.evaluation import OVProposalRecall, proposal_recall

BOX, OTHER = [10.0, 10, 50, 50], [60.0, 60, 90, 90]
FAR = [200.0, 200, 210, 210]


def test_each_group_has_its_recall():
    found = proposal_recall([([FAR, BOX], [BOX, OTHER], ['base', 'novel'])])
    assert found['base'] == {100: 1, 300: 1, 1000: 1}
    assert found['novel'] == {100: 0, 300: 0, 1000: 0}
    assert found['all'][100] == 0.5


def test_a_proposal_beyond_the_limit_does_not_count():
    found = proposal_recall([([FAR, BOX], [BOX], ['a'])], limits=(1, 2))
    assert found['a'] == {1: 0, 2: 1}


def test_scores_decide_which_proposals_are_first():
    scored = [[*FAR, 0.1], [*BOX, 0.9]]
    found = proposal_recall([(scored, [BOX], ['a'])], limits=(1,))
    assert found['a'][1] == 1


def test_one_proposal_covers_one_object():
    found = proposal_recall([([BOX], [BOX, BOX], ['a', 'a'])])
    assert found['a'][100] == 0.5


def test_an_overlap_of_six_tenths_meets_three_of_ten_thresholds():
    found = proposal_recall([([[0, 0, 10, 6]], [[0, 0, 10, 10]], ['a'])])
    assert found['a'][100] == pytest.approx(0.3)


def test_a_group_without_objects_is_not_there_and_none_at_all_is_minus_one():
    found = proposal_recall([(np.zeros((0, 4)), [], [])])
    assert found == {'all': {100: -1, 300: -1, 1000: -1}}


def test_a_group_that_is_asked_for_is_reported_without_objects():
    found = proposal_recall([([BOX], [BOX], ['base'])], (100,), ['novel'])
    assert found == {'all': {100: 1}, 'novel': {100: -1}, 'base': {100: 1}}


@pytest.mark.parametrize(
    ('proposals', 'groups', 'message'),
    [([BOX], ['a', 'b'], '1 objects need'), ([BOX[:3]], ['a'], r'\(1, 3\)')],
)
def test_what_does_not_fit_is_an_error(proposals, groups, message):
    with pytest.raises(ValueError, match=message):
        proposal_recall([(proposals, [BOX], groups)])


def random_images(seed, count=6):
    """Images with proposals near their objects of two groups, if any."""
    random = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        objects = random.uniform(0, 60, (random.integers(0, 9), 4))
        objects[:, 2:] += objects[:, :2] + 5
        near = np.repeat(objects, 4, axis=0)
        near = near + random.normal(0, 4, near.shape)
        far = random.uniform(0, 60, (10, 4))
        far[:, 2:] += far[:, :2] + 5
        proposals = np.concatenate((near, far))
        proposals = proposals[random.permutation(len(proposals))]
        groups = random.choice(['base', 'novel'], len(objects))
        images.append((proposals, objects, [str(g) for g in groups]))
    return images


def xywh(box):
    x1, y1, x2, y2 = map(float, box)
    return [x1, y1, x2 - x1, y2 - y1]


def coco_recall(images, group, limits):
    """COCO's own average recall without classes, of one group's objects."""
    truth, found = [], []
    for i, (proposals, objects, groups) in enumerate(images):
        truth += [
            dict(image_id=i, category_id=1, bbox=xywh(b), iscrowd=0, area=1)
            for b, g in zip(objects, groups)
            if group in (g, 'all')
        ]
        found += [
            dict(image_id=i, category_id=1, bbox=xywh(b), score=1 / (k + 1))
            for k, b in enumerate(proposals)
        ]
    coco = COCO()
    coco.dataset = dict(
        images=[dict(id=i) for i in range(len(images))],
        categories=[dict(id=1)],
        annotations=[dict(a, id=k + 1) for k, a in enumerate(truth)],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluator = COCOeval(coco, coco.loadRes(found), 'bbox')
        evaluator.params.useCats = 0
        evaluator.params.maxDets = list(limits)
        evaluator.evaluate()
        evaluator.accumulate()
    recall = evaluator.eval['recall'][:, 0, 0]  # (T, limits)
    return dict(zip(limits, recall.mean(axis=0)))


@pytest.mark.parametrize('seed', range(5))
def test_it_is_the_recall_that_coco_computes(seed):
    images, limits = random_images(seed), (1, 5, 20, 1000)
    found = proposal_recall(images, limits)
    for group in ('all', 'base', 'novel'):
        theirs = coco_recall(images, group, limits)
        assert found[group] == pytest.approx(theirs, abs=1e-9)


META = dict(
    classes=('cat', 'dog'), base_classes=('cat',), novel_classes=('dog',)
)


def measure(samples, ann_file=None, meta=META):
    metric = OVProposalRecall(ann_file, limits=(1, 100))
    metric.dataset_meta = meta
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def sample(image, boxes, scores=None, **fields):
    instances = InstanceData(
        bboxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.zeros(len(boxes), dtype=torch.long),
        scores=torch.tensor(scores or [0.5] * len(boxes)),
    )
    return dict(img_id=image, pred_instances=instances, **fields)


def write(tmp_path, categories):
    boxes = [
        dict(image_id=1, category_id=3, bbox=xywh(BOX)),
        dict(image_id=1, category_id=7, bbox=xywh(OTHER)),
        dict(image_id=1, category_id=7, bbox=xywh(FAR), iscrowd=1),
        dict(image_id=2, category_id=9, bbox=xywh(BOX)),
    ]
    path = tmp_path / 'truth.json'
    content = dict(
        images=[dict(id=1), dict(id=2)],
        categories=categories,
        annotations=boxes,
    )
    path.write_text(json.dumps(content))
    return str(path)


def test_the_metric_reads_groups_from_names_and_leaves_others_out(tmp_path):
    names = {3: 'cat', 7: 'dog', 9: 'bus'}
    path = write(tmp_path, [dict(id=i, name=n) for i, n in names.items()])
    found = measure([sample(1, [FAR, BOX], [0.1, 0.9]), sample(2, [])], path)
    assert found['proposal/base_AR@1'] == 1
    assert found['proposal/novel_AR@100'] == 0
    assert found['proposal/AR@1'] == 0.5


def test_the_metric_reads_groups_from_lvis_letters(tmp_path):
    letters = {3: 'r', 7: 'c', 9: 'f'}
    path = write(
        tmp_path,
        [dict(id=i, name='x', frequency=f) for i, f in letters.items()],
    )
    found = measure([sample(1, [BOX])], path)  # image 2 was not run
    assert found['proposal/novel_AR@1'] == found['proposal/r_AR@1'] == 1
    assert found['proposal/base_AR@1'] == 0
    assert found['proposal/AR@100'] == pytest.approx(1 / 3)


def test_without_a_file_the_samples_hold_the_truth():
    truth = [
        dict(bbox=BOX, bbox_label=1, ignore_flag=0),
        dict(bbox=OTHER, bbox_label=0, ignore_flag=1),
    ]
    found = measure([sample(1, [BOX], instances=truth)])
    assert found['proposal/novel_AR@1'] == found['proposal/AR@1'] == 1
    with pytest.raises(ValueError, match='meta_keys'):
        measure([sample(1, [BOX])])
