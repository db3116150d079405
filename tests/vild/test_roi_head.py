import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmclip.clip.phrases import runs_of_text
from mmclip.vild.roi_head import check_labels
from tests.vild.tiny import NAMES, tiny_vild


def samples(*texts, size=64):
    made = []
    for text in texts:
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(size, size),
                ori_shape=(size, size),
                scale_factor=(1.0, 1.0),
                pad_shape=(size, size),
                batch_input_shape=(size, size),
            )
        )
        if text is not None:
            sample.set_metainfo(dict(text=text))
        made.append(sample)
    return made


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return MODELS.build(tiny_vild()).eval()


@pytest.fixture
def image():
    return torch.randn(1, 3, 64, 64)


@torch.no_grad()
def detect(model, images, batch):
    return [s.pred_instances for s in model.predict(images, batch)]


def test_found_labels_are_named(model, image):
    (found,) = detect(model, image, samples(None))
    assert len(found) > 0
    assert found.label_names == [NAMES[i] for i in found.labels.tolist()]
    assert found.masks.shape == (len(found), 64, 64)


def test_a_text_is_answered_in_its_own_names_for_this_call(model, image):
    (found,) = detect(model, image, samples('a cow . the dog'))
    assert set(found.label_names) <= {'cow', 'dog'}
    (after,) = detect(model, image, samples(None))
    assert model.roi_head.vocabulary.names == NAMES
    assert set(after.label_names) - {'cow', 'dog'}


def test_images_of_a_batch_may_ask_for_different_names(model, image):
    batch = image.expand(4, -1, -1, -1)
    texts = [None, 'cow', 'cow', ['dog', 'cat']]
    together = detect(model, batch, samples(*texts))
    alone = [detect(model, image, samples(text))[0] for text in texts]
    for a, b in zip(together, alone):
        assert a.label_names == b.label_names
        torch.testing.assert_close(a.scores, b.scores, rtol=1e-3, atol=1e-4)


def test_a_new_vocabulary_of_another_size_needs_no_training(model, image):
    kept = list(model.roi_head.vocabulary.names)
    model.set_vocabulary(['dog'])
    (found,) = detect(model, image, samples(None))
    assert set(found.label_names) == {'dog'}
    assert model.roi_head.bbox_head.num_classes == 1
    model.set_vocabulary(kept)


def test_the_vocabulary_is_saved_in_the_checkpoint(model):
    state = model.state_dict()
    config = tiny_vild()
    predictor = config['roi_head']['bbox_head']['cls_predictor_cfg']
    predictor['vocabulary'].update(names=None, embed_dims=16)
    other = MODELS.build(config)
    other.load_state_dict(state)
    assert other.roi_head.vocabulary.names == NAMES


def test_training_gives_finite_losses_also_without_boxes(model):
    boxes = torch.tensor([[4.0, 4, 40, 40], [10, 20, 60, 60]])
    masks = np.ones((2, 64, 64), np.uint8)
    for count in (2, 0):
        from mmdet.structures.mask import BitmapMasks

        batch = samples(None, None)
        for sample in batch:
            sample.gt_instances = InstanceData(
                bboxes=boxes[:count],
                labels=torch.tensor([0, 2])[:count],
                masks=BitmapMasks(masks[:count], 64, 64),
            )
        model.train()
        losses = model.loss(torch.randn(2, 3, 64, 64), batch)
        model.eval()
        total, _ = model.parse_losses(losses)
        assert torch.isfinite(total)


def test_a_label_beyond_the_vocabulary_is_an_error():
    check_labels(torch.tensor([0, 2]), NAMES[:3])
    check_labels(torch.zeros(0), NAMES[:3])
    with pytest.raises(ValueError, match='label 3 .* 3 names'):
        check_labels(torch.tensor([3]), NAMES[:3])


def test_neighbours_with_one_text_share_a_pass():
    batch = samples('a', 'a', None, 'a')
    assert runs_of_text(batch) == [
        ('a', range(0, 2)),
        (None, range(2, 3)),
        ('a', range(3, 4)),
    ]


@pytest.mark.parametrize(
    ('part', 'change'),
    [
        ('bbox_head', dict(reg_class_agnostic=False)),
        ('mask_head', dict(class_agnostic=False)),
        ('bbox_head', dict(cls_predictor_cfg=dict(type='mmdet.Linear'))),
    ],
)
def test_what_cannot_change_its_names_is_refused(part, change):
    config = tiny_vild()
    config['roi_head'][part].update(change)
    if change.get('cls_predictor_cfg'):
        config['roi_head'][part]['cls_predictor_cfg'] = dict(type='Linear')
    with pytest.raises(ValueError, match='class|classifier'):
        MODELS.build(config)
