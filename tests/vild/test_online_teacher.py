import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmclip.vild.online_teacher import (
    OnlineTeacher,
    inside,
    random_boxes,
    restore,
)
from tests.vild.tiny import tiny_vild

SHAPE = (40, 56)
TRUTH = torch.tensor([[4.0, 4, 30, 36], [10, 2, 50, 30]])


@pytest.fixture(scope='module')
def pictures():
    """Return two RGB pictures, whole numbers in [0, 255]."""
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.rand(3, *SHAPE, generator=generator) * 255).round()
        for _ in range(2)
    ]


def preprocessor(**options):
    return MODELS.build(
        dict(
            type='mmdet.DetDataPreprocessor',
            mean=[120.0, 110.0, 100.0],
            std=[60.0, 50.0, 70.0],
            pad_size_divisor=32,
            **options,
        )
    )


def batch_of(pictures, truth=TRUTH, **options):
    """Return inputs (2, 3, 64, 64), samples and preprocessor."""
    samples = [
        DetDataSample(
            metainfo=dict(img_shape=SHAPE),
            gt_instances=InstanceData(
                bboxes=truth, labels=torch.zeros(len(truth)).long()
            ),
        )
        for _ in pictures
    ]
    process = preprocessor(**options)
    loaded = [p.flip(0) for p in pictures]  # mmdet loads BGR
    batch = process(dict(inputs=loaded, data_samples=samples))
    return batch['inputs'], batch['data_samples'], process


@pytest.mark.parametrize('bgr_to_rgb', [True, False])
def test_the_picture_is_restored_without_its_padding(pictures, bgr_to_rgb):
    inputs, samples, process = batch_of(pictures, bgr_to_rgb=bgr_to_rgb)
    assert inputs.shape == (2, 3, 64, 64)
    for found, picture in zip(restore(inputs, samples, process), pictures):
        torch.testing.assert_close(found, picture, rtol=0, atol=1e-3)


def proposals(count=2):
    boxes = torch.tensor([[0.0, 0, 20, 20], [5, 5, 6, 39], [9, 9, 60, 60]])
    return [InstanceData(bboxes=boxes) for _ in range(count)]


@pytest.mark.parametrize('source', ['rpn', 'random'])
def test_each_sample_is_told_what_a_clip_says_of_its_boxes(pictures, source):
    teacher = OnlineTeacher('shapes-clip', num=12, boxes_from=source)
    inputs, samples, process = batch_of(pictures, bgr_to_rgb=True)
    teacher(inputs, samples, process, proposals())
    for sample, picture in zip(samples, pictures):
        taught = sample.distill_instances
        assert 'proposals' not in sample
        assert torch.equal(taught.bboxes[:2], TRUTH)
        assert len(taught.bboxes) == (4 if source == 'rpn' else 12)
        assert taught.weights.tolist() == [1] * len(taught.bboxes)
        assert (taught.bboxes[:, 2:] <= torch.tensor([56.0, 40])).all()
        (alone,) = teacher.encoder([picture], [taught.bboxes])
        torch.testing.assert_close(taught.embeddings, alone, rtol=0, atol=1e-4)


def test_proposals_are_clipped_and_the_small_ones_left_out(pictures):
    teacher = OnlineTeacher('shapes-clip', num=9, add_gt=False)
    inputs, samples, process = batch_of(pictures)
    teacher(inputs, samples, process, proposals())
    found = {tuple(b) for b in samples[0].distill_instances.bboxes.tolist()}
    assert found == {(0, 0, 20, 20), (9, 9, 56, 40)}


@pytest.mark.parametrize('source', ['rpn', 'random'])
def test_images_without_objects_are_asked_about_too(pictures, source):
    teacher = OnlineTeacher('shapes-clip', num=5, boxes_from=source)
    inputs, samples, process = batch_of(pictures, truth=TRUTH[:0])
    nothing = [InstanceData(bboxes=TRUTH[:0]) for _ in pictures]
    teacher(inputs, samples, process, nothing)
    for sample in samples:
        taught = sample.distill_instances
        assert taught.embeddings.shape == (len(taught.bboxes), 128)
        assert (len(taught.bboxes) == 0) == (source == 'rpn')


def test_random_boxes_follow_the_seed_and_stay_near_the_objects():
    torch.manual_seed(0)
    boxes = random_boxes(TRUTH, SHAPE, 40)
    torch.manual_seed(0)
    assert torch.equal(random_boxes(TRUTH, SHAPE, 40), boxes)
    assert boxes.shape == (40, 4)
    near = boxes[:20]
    centre = (near[:, :2] + near[:, 2:]) / 2
    own = (TRUTH[:, :2] + TRUTH[:, 2:]) / 2
    assert torch.cdist(centre, own).amin(1).max() < 14
    assert (inside(boxes, SHAPE, 1.0) >= 0).all()


def test_the_clip_is_in_no_checkpoint_no_optimizer_and_no_copy():
    config = tiny_vild()
    config['teacher'] = dict(
        type='mmclip.OnlineTeacher', model='shapes-clip', num=4
    )
    model, plain = MODELS.build(config), MODELS.build(tiny_vild())
    assert set(model.state_dict()) == set(plain.state_dict())
    assert len(list(model.parameters())) == len(list(plain.parameters()))
    copied = copy.deepcopy(model)
    assert copied.teacher.encoder is model.teacher.encoder
    assert copied.teacher is not model.teacher


@pytest.mark.parametrize('source', ['rpn', 'random'])
def test_a_detector_asks_before_its_roi_head_learns(pictures, source):
    torch.manual_seed(0)
    config = tiny_vild()
    config['roi_head'].pop('mask_head')
    config['roi_head'].pop('mask_roi_extractor')
    config['teacher'] = dict(
        type='mmclip.OnlineTeacher',
        model='shapes-clip',
        num=6,
        boxes_from=source,
    )
    config['data_preprocessor'].pop('pad_mask')
    model = MODELS.build(config).train()
    inputs, samples, _ = batch_of(pictures)
    seen = []

    def watch(features, proposals, samples):
        seen.extend(s.distill_instances for s in samples)
        return stock(features, proposals, samples)

    stock = type(model.roi_head).loss.__get__(model.roi_head)
    model.roi_head.loss = watch
    losses = model.loss(inputs, samples)
    total, _ = model.parse_losses(losses)
    assert torch.isfinite(total)
    assert [taught.embeddings.shape for taught in seen] == [(6, 128)] * 2
    assert not any(taught.embeddings.requires_grad for taught in seen)


def test_without_a_teacher_nothing_is_asked(pictures):
    torch.manual_seed(0)
    config = tiny_vild()
    for part in ('mask_head', 'mask_roi_extractor'):
        config['roi_head'].pop(part)
    model = MODELS.build(config).train()
    inputs, samples, _ = batch_of(pictures)
    model.loss(inputs, samples)
    assert 'distill_instances' not in samples[0]


@pytest.mark.parametrize('wrong', [dict(num=0), dict(boxes_from='gt')])
def test_settings_that_ask_for_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match='at least one box an image'):
        OnlineTeacher('shapes-clip', **wrong)
