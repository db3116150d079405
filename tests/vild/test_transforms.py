import numpy as np
import pytest
import torch
from mmengine.registry import TRANSFORMS
from mmengine.structures import InstanceData

from mmclip.vild.crop_encoder import CropEncoder
from mmclip.vild.distillation_targets import collect_targets
from mmclip.vild.shards import write_shard
from mmclip.vild.teacher_cache import extract_embeddings
from mmclip.vild.transforms import (
    LoadProposalEmbeddings,
    PackOVDetInputs,
    ProjectProposals,
    project,
)
from tests.vild.teaching import SIDE, random_boxes, shapes, write_proposals

HEIGHT, WIDTH = 120, 160
RESIZE = dict(
    type='mmengine.RandomResize',
    scale=(200, 200),
    ratio_range=(0.1, 2.0),
    keep_ratio=True,
)
CROP = dict(
    type='mmdet.RandomCrop',
    crop_type='absolute',
    crop_size=(128, 128),
    allow_negative_crop=True,
)
FLIP = dict(
    type='mmdet.RandomFlip',
    prob=[0.3, 0.3, 0.3],
    direction=['horizontal', 'vertical', 'diagonal'],
)
AFFINE = dict(type='mmclip.RandomAffine', border=(-10, 20))


def picture() -> dict:
    """Return results whose pixels say where they come from."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    boxes = random_boxes(20, 0, side=HEIGHT)
    return dict(
        img=np.stack([x, y, 0 * x], 2).astype(np.float32),
        img_id=1,
        img_shape=(HEIGHT, WIDTH),
        ori_shape=(HEIGHT, WIDTH),
        distill_boxes_original=boxes,
        distill_embeddings=np.eye(20, 8, dtype=np.float32),
        **annotations(boxes),
    )


def annotations(boxes) -> dict:
    from mmdet.structures.bbox import HorizontalBoxes

    return dict(
        instances=[dict(bbox=list(box)) for box in boxes],
        gt_bboxes=HorizontalBoxes(torch.from_numpy(boxes.copy())),
        gt_bboxes_labels=np.zeros(len(boxes), int),
        gt_ignore_flags=np.zeros(len(boxes), bool),
    )


def by_hand(step, results, points):
    """Apply one transform; move points (M, 2) by what the pixels show."""
    x, y = points.T.astype(np.float64)
    before = results['img_shape']
    if step['type'] == 'mmdet.RandomCrop':
        rows, columns = np.mgrid[: before[0], : before[1]]
        results['img'] = np.stack([columns, rows, rows], 2).astype(np.float32)
    done = TRANSFORMS.build(step)
    results = done(results)
    height, width = results['img_shape']
    if step['type'] == 'mmengine.RandomResize':
        x, y = x * width / before[1], y * height / before[0]
    elif step['type'] == 'mmdet.RandomCrop':
        left, top = results['img'][0, 0, :2]
        x, y = x - left, y - top
    elif step['type'] == 'mmdet.RandomFlip' and results['flip']:
        how = results['flip_direction']
        x = width - x if how in ('horizontal', 'diagonal') else x
        y = height - y if how in ('vertical', 'diagonal') else y
    elif step['type'] == 'mmclip.RandomAffine':
        m = done._drawn.astype(np.float64)
        scale = m[2, 0] * x + m[2, 1] * y + m[2, 2]
        x, y = (
            (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / scale,
            (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / scale,
        )
    return results, np.stack([x, y], 1)


PIPELINES = dict(
    resize=[RESIZE],
    flip=[FLIP],
    resize_flip=[RESIZE, FLIP],
    jitter=[RESIZE, CROP, FLIP],
    crop_first=[CROP, FLIP, RESIZE],
    affine=[AFFINE],
    affine_between=[RESIZE, AFFINE, FLIP],
    nothing=[],
)


@pytest.mark.parametrize('name', PIPELINES)
def test_boxes_follow_every_geometric_transform(name):
    worst = 0.0
    for draw in range(60):
        np.random.seed(draw)
        results = picture()
        boxes = results['distill_boxes_original'].astype(np.float64)
        points = boxes[:, [0, 1, 2, 1, 0, 3, 2, 3]].reshape(-1, 2)
        for step in PIPELINES[name]:
            results, points = by_hand(step, results, points)
        results = ProjectProposals()(results)
        height, width = results['img_shape']
        corners = points.reshape(-1, 4, 2)
        moved = np.concatenate([corners.min(1), corners.max(1)], 1)
        cut = moved.clip(0, [width, height, width, height])
        worst = max(worst, np.abs(results['distill_boxes'] - cut).max())
        sides = cut[:, 2:] - cut[:, :2]
        clear = (np.abs(sides) > 1e-3).all(1) | (sides <= 0).any(1)
        seen = (sides > 0).all(1)
        found = results['distill_weights'] > 0
        assert (found == seen)[clear].all()
        assert len(found) == 20
    assert worst < 1e-3


def test_the_picture_is_where_the_boxes_are():
    for draw in range(30):
        np.random.seed(draw)
        results = picture()
        img = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        boxes = np.array([[10, 20, 60, 90], [90, 30, 140, 110.0]], np.float32)
        for k, (x1, y1, x2, y2) in enumerate(boxes.astype(int), 1):
            img[y1:y2, x1:x2] = k
        results.update(img=img, distill_boxes_original=boxes)
        results.update(annotations(boxes))
        for step in (RESIZE, CROP, FLIP):
            results = TRANSFORMS.build(step)(results)
        results = ProjectProposals()(results)
        for k in range(2):
            x1, y1, x2, y2 = results['distill_boxes'][k]
            if min(x2 - x1, y2 - y1) < 4:
                continue
            middle = results['img'][int((y1 + y2) / 2), int((x1 + x2) / 2)]
            np.testing.assert_allclose(middle, k + 1, atol=1e-3)


def test_a_box_that_left_keeps_its_row_with_weight_0():
    results = picture()
    boxes = [[0, 0, 40, 40], [100, 0, 140, 40], [120, 80, 200, 119]]
    results['distill_boxes_original'] = np.array(boxes, np.float32)
    results.update(homography_matrix=np.eye(3), img_shape=(100, 130))
    results['gt_bboxes'] = results['gt_bboxes'][:0]
    found = ProjectProposals()(dict(results))
    assert found['distill_weights'].tolist() == [1, 1, 1]
    assert found['distill_boxes'][2].tolist() == [120, 80, 130, 100]
    strict = ProjectProposals(min_visible=0.7)(dict(results))
    assert strict['distill_weights'].tolist() == [1, 1, 0]
    away = np.array([[1, 0, -130], [0, 1, 0], [0, 0, 1]])
    left = ProjectProposals()(dict(results, homography_matrix=away))
    assert left['distill_weights'].tolist() == [0, 1, 1]
    assert len(left['distill_embeddings']) == 20


def test_turning_boxes_the_corners_anew():
    quarter = [[0, -1, 50], [1, 0, 0], [0, 0, 1]]  # (x, y) to (50 - y, x)
    assert project([[10, 20, 30, 25]], quarter).tolist() == [[25, 10, 30, 30]]
    assert project(np.zeros((0, 4)), quarter).shape == (0, 4)


@pytest.mark.parametrize(
    'step',
    [
        dict(type='mmdet.RandomAffine'),
        dict(type='mmdet.Expand', prob=1.0, ratio_range=(2, 3)),
        dict(type='mmdet.RandomShift', prob=1.0, max_shift_px=32),
    ],
)
def test_a_transform_that_keeps_no_record_is_found_out(step):
    refused = 0
    for draw in range(10):
        np.random.seed(draw)
        torch.manual_seed(draw)
        refused += refuses(TRANSFORMS.build(step)(picture()))
    assert refused >= 8  # now and then a draw moves hardly anything


def refuses(results) -> bool:
    try:
        ProjectProposals()(results)
    except ValueError as error:
        return 'moves the picture without writing it' in str(error)
    return False


def test_pasted_objects_are_no_alarm():
    results = picture()
    results['gt_bboxes'].tensor[:8] = torch.tensor([0.0, 0, 160, 120])
    assert not refuses(results)
    assert 'distill_boxes' in results


# ---- loading and packing --------------------------------------------------


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    proposals = write_proposals(shapes(), tmp_path_factory.mktemp('boxes'))
    cache = extract_embeddings(
        shapes(), proposals, CropEncoder(), tmp_path_factory.mktemp('cache')
    )
    return str(cache.folder)


def pipeline(folder, *steps, **options):
    load = dict(type='mmclip.LoadProposalEmbeddings', cache=folder, **options)
    return [
        dict(type='mmdet.LoadAnnotations', with_bbox=True),
        load,
        *steps,
        dict(type='mmclip.ProjectProposals'),
        dict(type='mmclip.PackOVDetInputs'),
    ]


def test_a_sample_carries_what_is_to_be_learnt(folder):
    plain = shapes(pipeline=pipeline(folder))
    turned = shapes(
        pipeline=pipeline(folder, dict(FLIP, prob=[0.0, 0.0, 1.0]))
    )
    for index in (0, 3, 4):
        here, there = (d[index]['data_samples'] for d in (plain, turned))
        taught = here.distill_instances
        assert isinstance(taught, InstanceData)
        assert 'proposals' not in here
        assert taught.embeddings.shape == (index, 128)
        assert taught.bboxes.shape == (index, 4)
        assert taught.weights.tolist() == [1] * index
        assert taught.embeddings.dtype == torch.float16
        assert taught.bboxes.dtype == torch.float32
        mirrored = SIDE - taught.bboxes[:, [2, 3, 0, 1]]
        torch.testing.assert_close(
            there.distill_instances.bboxes, mirrored, rtol=0, atol=1e-3
        )
        assert torch.equal(
            there.distill_instances.embeddings, taught.embeddings
        )
        assert len(here.gt_instances.bboxes) > 0


def test_the_best_boxes_come_first(folder):
    few = shapes(pipeline=pipeline(folder, max_num=2))
    every = shapes(pipeline=pipeline(folder))
    two, four = (
        d[4]['data_samples'].distill_instances.embeddings for d in (few, every)
    )
    assert len(two) == 2
    assert torch.equal(two, four[:2])


def test_samples_come_out_of_workers(folder):
    from mmengine.dataset import pseudo_collate
    from torch.utils.data import DataLoader

    dataset = shapes(pipeline=pipeline(folder))
    alone = dataset[4]['data_samples'].distill_instances  # opened before
    loader = DataLoader(
        dataset, batch_size=4, num_workers=2, collate_fn=pseudo_collate
    )
    batches = [batch['data_samples'] for batch in loader]
    worked = batches[1][0].distill_instances
    assert torch.equal(worked.embeddings, alone.embeddings)
    assert [len(b) for b in batches] == [4, 3]


@pytest.mark.parametrize(
    ('expected', 'message'),
    [
        (dict(clip='ViT-B-32 openai'), "clip: got 'shapes-clip', expected 'V"),
        (dict(embed_dims=512), 'embed_dims: got 128, expected 512'),
        (dict(weights='ab'), "weights: got .*, expected 'ab'"),
    ],
)
def test_a_cache_of_another_teacher_is_refused(folder, expected, message):
    dataset = shapes(pipeline=pipeline(folder, **expected))
    with pytest.raises(ValueError, match=message):
        dataset[0]


def test_an_image_that_the_cache_lacks_is_named(folder):
    dataset = shapes(9, pipeline=pipeline(folder))
    with pytest.raises(ValueError, match='image 8 is not among the 7 images'):
        dataset[8]


def test_boxes_beyond_the_image_betray_another_image_set(folder):
    step = LoadProposalEmbeddings(folder)
    with pytest.raises(ValueError, match='image is 20 x 20: the cache is of'):
        step(dict(img_id=4, ori_shape=(20, 20)))


def test_nan_in_the_cache_is_found_before_it_is_learnt(folder, tmp_path):
    import shutil

    shutil.copytree(folder, tmp_path / 'nan')
    rows = [np.full((1, 128), np.nan, np.float16)] * 7
    boxes = [np.array([[0, 0, 5, 5]], np.float32)] * 7
    arrays = dict(emb=rows, box=boxes, score=[b[:, 0] for b in boxes])
    write_shard(tmp_path / 'nan', 0, list(range(7)), arrays)
    dataset = shapes(pipeline=pipeline(str(tmp_path / 'nan')))
    with pytest.raises(ValueError, match='row 0 .* image 2 .*nan.*again'):
        collect_targets([dataset[2]['data_samples']], 128)


def test_steps_in_another_order_are_told(folder):
    loaded = LoadProposalEmbeddings(folder)(dict(img_id=3))
    with pytest.raises(ValueError, match='put mmclip.ProjectProposals after'):
        PackOVDetInputs()(loaded)
    with pytest.raises(ValueError, match='LoadProposalEmbeddings before'):
        ProjectProposals()(dict(img_shape=(4, 4)))


def test_without_a_teacher_packing_is_mmdets(folder):
    packed = PackOVDetInputs(meta_keys=())(
        dict(img=np.zeros((8, 8, 3), np.uint8))
    )
    assert 'distill_instances' not in packed['data_samples']


def test_a_config_builds_where_there_is_no_cache():
    for step in pipeline('data/absent'):
        assert TRANSFORMS.build(step) is not None
