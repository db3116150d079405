"""What all our detection metrics do with results, on a golden case."""

import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

from mmclip.evaluation import OVCocoMetric, OVLVISMetric
from mmclip.evaluation.detections import Detections

CASES = Path(__file__).parents[1] / 'golden/cases/vild'


def read(case):
    with np.load(CASES / f'{case}.npz') as file:
        keys = ('in_gt_json', 'in_det_json')
        return [json.loads(file[key].tobytes()) for key in keys]


def samples_of(truth, found):
    """What a model would give for every image of the truth."""
    place = {c['id']: i for i, c in enumerate(truth['categories'])}
    samples = []
    for image in truth['images']:
        of_it = [d for d in found if d['image_id'] == image['id']]
        xywh = torch.tensor([d['bbox'] for d in of_it], dtype=torch.float64)
        xywh = xywh.reshape(-1, 4)
        instances = dict(
            bboxes=torch.cat((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), dim=1),
            scores=torch.tensor(
                [d['score'] for d in of_it], dtype=torch.float64
            ),
            labels=torch.tensor(
                [place[d['category_id']] for d in of_it], dtype=torch.long
            ),
            masks=[dict(d['segmentation']) for d in of_it],
        )
        samples.append(
            dict(
                img_id=image['id'],
                ori_shape=(image['height'], image['width']),
                pred_instances=instances,
            )
        )
    return samples


def build(kind, folder, **options):
    """A metric on a case's truth, and what it measures of its records."""
    case = {'coco': 'eval_coco_base_novel', 'lvis': 'eval_lvis'}[kind]
    truth, found = read(case)
    path = Path(folder) / 'truth.json'
    path.write_text(json.dumps(truth))
    cls = {'coco': OVCocoMetric, 'lvis': OVLVISMetric}[kind]
    metric = cls(str(path), metric=['bbox', 'segm'], **options)
    names = tuple(c['name'] for c in truth['categories'])
    metric.dataset_meta = dict(classes=names, base_classes=names[:4])
    return metric, truth, found


def measured(metric, found):
    """The figures of the records themselves."""
    found = Detections.from_records(found)
    return {
        f'{metric.prefix}/{key}': value
        for kind in ('bbox', 'segm')
        for key, value in metric.measure(found, kind).items()
    }


@pytest.mark.parametrize('kind', ['coco', 'lvis'])
def test_results_of_a_model_give_the_figures_of_their_records(kind, tmp_path):
    metric, truth, found = build(kind, tmp_path)
    samples = samples_of(truth, found)
    for i in range(0, len(samples), 2):
        metric.process({}, samples[i : i + 2])
    figures = metric.evaluate(len(samples))
    assert figures == pytest.approx(measured(metric, found), abs=1e-9)
    assert len(figures) >= 26


def test_an_image_seen_twice_counts_once(tmp_path):
    metric, truth, found = build('lvis', tmp_path)
    samples = samples_of(truth, found)
    metric.process({}, samples)
    metric.process({}, samples[:3])
    figures = metric.evaluate(len(samples) + 3)
    assert figures == pytest.approx(measured(metric, found), abs=1e-9)


def test_images_that_were_not_run_are_misses_and_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        MMLogger.get_current_instance(), 'warning', said.append
    )
    metric, truth, found = build('coco', tmp_path)
    samples = samples_of(truth, found)[:5]
    metric.process({}, samples)
    figures = metric.evaluate(5)
    assert f'{len(truth["images"]) - 5} of {len(truth["images"])}' in said[0]
    assert figures['coco/bbox_mAP'] < measured(metric, found)['coco/bbox_mAP']


def test_an_image_of_another_set_is_an_error(tmp_path):
    metric, truth, found = build('coco', tmp_path)
    sample = samples_of(truth, found)[0]
    metric.process({}, [dict(sample, img_id=31)])
    with pytest.raises(ValueError, match='such as id 31: .*same ann_file'):
        metric.evaluate(1)


def test_results_are_written_where_asked(tmp_path):
    prefix = str(tmp_path / 'found')
    metric, truth, found = build(
        'lvis', tmp_path, outfile_prefix=prefix, format_only=True
    )
    metric.process({}, samples_of(truth, found))
    assert metric.evaluate(len(truth['images'])) == {}
    written = json.loads((tmp_path / 'found.segm.json').read_text())
    assert len(written) == len(found)
    assert {d['category_id'] for d in written} == {
        d['category_id'] for d in found
    }


def rank_of_two(rank, port, folder):
    """One of two ranks, each with every other image."""
    os.environ.update(
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
        RANK=str(rank),
        WORLD_SIZE='2',
    )
    torch.distributed.init_process_group('gloo')
    folder = Path(folder)
    own = folder / str(rank)
    own.mkdir()
    metric, truth, found = build('lvis', own, fixed_ap=True)
    samples = samples_of(truth, found)
    share = samples[rank::2]
    if len(samples) % 2 and rank:  # the sampler makes the shares even
        share.append(samples[0])
    metric.process({}, share)
    figures = metric.evaluate(len(samples))
    (folder / f'{rank}.json').write_text(json.dumps(figures))
    torch.distributed.destroy_process_group()


@pytest.mark.dist
def test_two_ranks_measure_what_one_does(tmp_path):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(rank_of_two, (port, str(tmp_path)), nprocs=2)
    metric, truth, found = build('lvis', tmp_path, fixed_ap=True)
    alone = measured(metric, found)
    for rank in range(2):
        together = json.loads((tmp_path / f'{rank}.json').read_text())
        assert together == pytest.approx(alone, abs=1e-9)
