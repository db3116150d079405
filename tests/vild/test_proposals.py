import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, METRICS, MODELS
from mmengine.config import Config

from mmclip.jobs import find_config
from mmclip.vild.dataset_images import DatasetImages
from mmclip.vild.proposal_recall import measure_recall
from mmclip.vild.proposals import Proposals, dump_proposals, proposal_head
from mmclip.vild.shards import ShardError, write_shard
from mmclip.vild.stripes import Rank
from tests.vild.teaching import SIDE, bytes_of, shapes, write_proposals
from tests.vild.tiny import tiny_vild

RESIZE = dict(type='mmdet.Resize', scale=(96, 96), keep_ratio=True)
PACK = dict(
    type='mmdet.PackDetInputs',
    meta_keys=('img_id', 'ori_shape', 'img_shape', 'scale_factor'),
)


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return MODELS.build(tiny_vild()).eval()


def dataset(num_images=5, steps=(RESIZE, PACK), **options):
    return shapes(num_images, pipeline=list(steps), **options)


def dump(model, folder, **options):
    return dump_proposals(
        model, dataset(), folder, max_num=8, shard_size=2, **options
    )


def test_boxes_are_in_original_pixels_and_best_first(model, tmp_path):
    stored = dump(model, tmp_path, batch_size=2)
    for image_id in range(5):
        boxes, scores = stored.of(image_id)
        assert 0 < len(boxes) <= 8
        assert boxes.max() <= SIDE + 1e-3
        assert (np.diff(scores) <= 0).all()
    boxes, _ = stored.of(3)
    item = dataset()[3]
    batch = model.data_preprocessor(
        dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
    )
    with torch.no_grad():
        (found,) = model.rpn_head.predict(
            model.extract_feat(batch['inputs']), batch['data_samples']
        )
    best = found.bboxes[found.scores.argsort(descending=True)[:8]]
    np.testing.assert_allclose(2 * boxes, best.numpy(), atol=1e-3)


def test_two_ranks_and_a_resumed_run_write_the_same(model, tmp_path):
    dump(model, tmp_path / 'one')
    for rank in (1, 0):
        dump(model, tmp_path / 'two', rank=Rank(rank, 2))
    assert bytes_of(tmp_path / 'one') == bytes_of(tmp_path / 'two')
    (tmp_path / 'two/00001.json').unlink()
    dump(model, tmp_path / 'two')
    assert bytes_of(tmp_path / 'one') == bytes_of(tmp_path / 'two')


def test_another_checkpoint_does_not_go_on_in_the_same_folder(model, tmp_path):
    dump(model, tmp_path, source=dict(checkpoint='aa'))
    with pytest.raises(ShardError, match="source: got .*'aa'.*expected.*'bb'"):
        dump(model, tmp_path, source=dict(checkpoint='bb'))


def test_a_detector_of_proposals_alone_will_do():
    cfg = Config.fromfile(find_config('rpn_r18_fpn_shapes'))
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    assert proposal_head(model) is model.bbox_head
    with pytest.raises(ValueError, match='Linear has no proposal network'):
        proposal_head(torch.nn.Linear(1, 1))


def test_proposals_of_other_images_are_refused(tmp_path):
    stored = write_proposals(shapes(4), tmp_path)
    stored.check_images(DatasetImages(shapes(4)))
    for other in (shapes(5), shapes(4, seed=1)):
        with pytest.raises(ShardError, match='another image set: got 4 im'):
            stored.check_images(DatasetImages(other))


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / 'manifest.json').write_text('{"format": "other"}')
    with pytest.raises(ShardError, match="format: got 'other', expected 'mm"):
        Proposals(tmp_path).of(1)


def test_the_objects_themselves_are_recalled(tmp_path):
    scenes = shapes(4)
    stored = write_proposals(scenes, tmp_path, shard_size=4)
    empty = np.zeros((0, 4), np.float32)
    truth = [
        np.array(
            [o['bbox'] for o in scenes.get_data_info(i)['instances']],
            np.float32,
        )
        for i in range(4)
    ]

    def recall(boxes):
        scores = [np.ones(len(b), np.float32) for b in boxes]
        write_shard(tmp_path, 0, list(range(4)), dict(box=boxes, score=scores))
        metric = METRICS.build(dict(type='mmclip.OVProposalRecall'))
        return measure_recall(Proposals(tmp_path), scenes, metric)

    assert recall(truth)['proposal/AR@100'] == 1
    half = recall([truth[0], truth[1], empty, empty])['proposal/AR@100']
    share = (len(truth[0]) + len(truth[1])) / sum(map(len, truth))
    assert half == pytest.approx(share, abs=1e-3)
    assert stored.manifest['num_images'] == 4


def test_any_dataset_of_mmdet_will_do(model, tmp_path):
    from tests.vild.test_dataset_images import LOAD, coco_options

    options = dict(coco_options(tmp_path), pipeline=[LOAD, RESIZE, PACK])
    stored = dump_proposals(
        model, DATASETS.build(options), tmp_path / 'out', max_num=5
    )
    boxes, _ = stored.of(7)
    assert (boxes.max(0)[2:] <= [30 + 1e-3, 20 + 1e-3]).all()
