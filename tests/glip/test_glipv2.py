import pytest
import torch
from mmdet.structures.mask import BitmapMasks

from tests.glip.tiny import (
    NAMES,
    PIECES,
    WIDTH,
    WORDS,
    build,
    images,
    sample,
    tiny_glip,
)


def glipv2(**options):
    parts = dict(
        type='mmclip.GLIPv2Detector',
        mask_roi_extractor=dict(
            type='mmdet.SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
            out_channels=WIDTH,
            featmap_strides=[8, 16, 32],
        ),
        mask_head=dict(
            type='mmclip.VLMaskHead',
            num_convs=1,
            in_channels=WIDTH,
            conv_out_channels=WIDTH,
            language_dim=WORDS,
        ),
        contrast_loss=dict(
            type='mmclip.InterImageRegionWordLoss',
            region_dim=WIDTH,
            word_dim=WORDS,
            hidden_dim=8,
        ),
        masked_word_head=dict(
            type='mmclip.MaskedWordHead',
            language_dim=WORDS,
            vocab_size=len(PIECES),
        ),
    )
    return build(tiny_glip(**{**parts, **options}))


def masked_sample(text, labels, **meta):
    one = sample(text, labels, **meta)
    boxes = one.gt_instances.bboxes.long().tolist()
    masks = torch.zeros(len(boxes), 64, 96).numpy().astype('uint8')
    for mask, (x1, y1, x2, y2) in zip(masks, boxes):
        mask[y1 : y2 + 1, x1 : (x1 + x2) // 2] = 1  # the left half
    one.gt_instances.masks = BitmapMasks(masks, 64, 96)
    return one


def batch():
    return [
        masked_sample(NAMES, [0, 1], masked_words=[[1, 5], [2, 6]]),
        masked_sample('a man walks a dog', [0], tokens_positive=[[[12, 17]]]),
    ]


def test_all_losses_reach_their_parts():
    detector = glipv2().train()
    losses = detector.loss(images(2), batch())
    assert {'loss_mask', 'loss_contrast', 'loss_mlm'} < set(losses)
    assert all(x.isfinite() and x > 0 for x in losses.values())
    sum(losses.values()).backward()
    still = {n for n, p in detector.named_parameters() if p.grad is None}
    assert not still


@pytest.mark.parametrize('labels', [[[], []], [[], [0]]])
def test_images_without_boxes_are_no_error(labels):
    detector = glipv2().train()
    samples = [masked_sample(NAMES, own) for own in labels]
    losses = detector.loss(images(2), samples)
    assert all(x.isfinite() for x in losses.values())
    sum(losses.values()).backward()


def test_each_part_may_be_left_out():
    detector = glipv2(
        mask_head=None,
        mask_roi_extractor=None,
        contrast_loss=None,
        masked_word_head=None,
    )
    losses = detector.loss(images(), [sample(NAMES, [0])])
    assert set(losses) == {'loss_cls', 'loss_bbox', 'loss_centerness'}
    with torch.no_grad():
        (found,) = detector.eval().predict(images(), [sample(NAMES)])
    assert 'masks' not in found.pred_instances


def test_a_mask_head_needs_its_extractor():
    with pytest.raises(ValueError, match='go together'):
        glipv2(mask_roi_extractor=None)


@torch.no_grad()
@pytest.mark.parametrize('rescale', [True, False])
def test_what_is_found_is_cut_out(rescale):
    detector = glipv2(test_cfg=dict(chunked_size=3)).eval()
    plain = build(tiny_glip(test_cfg=dict(chunked_size=3))).eval()
    plain.load_state_dict(detector.state_dict(), strict=False)
    samples = [sample(NAMES), sample(['cow'])]
    found = detector.predict(images(2), samples, rescale=rescale)
    size = (128, 192) if rescale else (64, 96)
    boxes = plain.predict(
        images(2), [sample(NAMES), sample(['cow'])], rescale=rescale
    )
    for a, b in zip(found, boxes):
        a, b = a.pred_instances, b.pred_instances
        assert a.masks.shape == (len(a), *size)
        torch.testing.assert_close(a.bboxes, b.bboxes, rtol=1e-3, atol=1e-2)
        assert a.label_names == b.label_names


@torch.no_grad()
def test_nothing_found_has_no_masks():
    detector = glipv2(test_cfg=dict(score_thr=0.99)).eval()
    (found,) = detector.predict(images(), [sample(NAMES)])
    assert found.pred_instances.masks.shape == (0, 128, 192)


def test_a_mask_is_learnt():
    detector = glipv2(contrast_loss=None, masked_word_head=None).train()
    optimiser = torch.optim.AdamW(detector.parameters(), lr=3e-3)
    losses = []
    for _ in range(20):
        loss = detector.loss(images(1), [masked_sample(NAMES, [0])])
        optimiser.zero_grad()
        sum(loss.values()).backward()
        optimiser.step()
        losses.append(float(loss['loss_mask'].detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_equal_names_are_one_class_and_phrases_are_none():
    from mmclip.glip.glipv2 import class_numbers
    from mmclip.glip.grounding import ground

    detector = glipv2()
    (names,) = ground(['cat', 'dog'], detector.tokenizer)
    first = class_numbers(sample(['cat', 'dog']), names)
    (turned,) = ground(['Dog', 'cat'], detector.tokenizer)
    assert class_numbers(sample(['Dog', 'cat']), turned) == first[::-1]
    phrases = sample('cat', tokens_positive=[[[0, 3]]])
    (one,) = ground('cat', detector.tokenizer, tokens_positive=[[[0, 3]]])
    assert class_numbers(phrases, one) == [-1]
