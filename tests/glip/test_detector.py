import pytest
import torch

from tests.glip.tiny import (
    NAMES,
    build,
    images,
    sample,
    tiny_bert,
    tiny_glip,
)


def model(**options):
    return build(tiny_glip(**options)).eval()


@torch.no_grad()
def predict(detector, samples, **kwargs):
    found = detector.predict(images(len(samples)), samples, **kwargs)
    return [one.pred_instances for one in found]


def assert_same(a, b):
    assert a.label_names == b.label_names
    torch.testing.assert_close(a.scores, b.scores, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(a.bboxes, b.bboxes, rtol=1e-3, atol=1e-2)


# ---- training ----


def maps_of(samples):
    detector = build(tiny_glip())
    detector.loss(images(len(samples)), samples)
    return [s.gt_instances.positive_maps.int().tolist() for s in samples]


def test_every_parameter_learns():
    detector = build(tiny_glip()).train()
    losses = detector.loss(images(2), [sample(NAMES, [0, 1]), sample('cat')])
    sum(losses.values()).backward()
    still = [n for n, p in detector.named_parameters() if p.grad is None]
    assert not still


def test_some_steps_make_the_losses_smaller():
    detector = build(tiny_glip()).train()
    detector.requires_grad_(True)
    optimiser = torch.optim.AdamW(detector.parameters(), lr=1e-3)
    totals = []
    for _ in range(15):
        samples = [sample(NAMES, [0, 3]), sample(NAMES, [1])]
        total = sum(detector.loss(images(2), samples).values())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.8 * totals[0]


def test_a_phrase_is_learnt_by_its_own_words():
    # [CLS] a man walks a dog [SEP]: 'a dog' is tokens 4 and 5
    (rows,) = maps_of(
        [sample('a man walks a dog', [0], tokens_positive=[[[12, 17]]])]
    )
    assert rows == [[0, 0, 0, 0, 1, 1, 0]]


def test_any_phrase_of_a_caption_can_be_learnt():
    (rows,) = maps_of(
        [
            sample(
                'a man walks a dog',
                [1, 0, 1],
                tokens_positive={'0': [[0, 5]], '1': [[12, 17]]},
            )
        ]
    )
    assert rows == [[0, 0, 0, 0, 1, 1, 0], [0, 1, 1] + [0] * 4, rows[0]]


def test_one_caption_may_mean_something_else_in_each_image():
    first, second = maps_of(
        [
            sample('a man walks a dog', [0], tokens_positive=[[[12, 17]]]),
            sample('a man walks a dog', [0], tokens_positive=[[[0, 5]]]),
        ]
    )
    assert first == [[0, 0, 0, 0, 1, 1, 0]]
    assert second == [[0, 1, 1, 0, 0, 0, 0]]


def losses_of(ignored, bias=0.0):
    """Return the losses, and the gradient of each word's logits."""
    detector = build(tiny_glip())
    outputs = detector.bbox_head.head.outputs
    kept = []

    def moved(levels, words):
        logits, *others = outputs(levels, words)
        kept.extend(x.detach().requires_grad_() for x in logits)
        push = torch.zeros(kept[0].shape[-1])
        push[1:3] = bias  # 'a man'
        return [x + push for x in kept], *others

    detector.bbox_head.head.outputs = moved
    samples = [
        sample(
            'a man walks a dog',
            [1],
            tokens_positive={1: [[12, 17]]},
            tokens_ignored=ignored,
        )
    ]
    losses = detector.loss(images(), samples)
    losses['loss_cls'].backward()
    return losses, torch.cat([x.grad.abs().sum((0, 1))[None] for x in kept])


def test_ignored_words_teach_nothing():
    losses, gradients = losses_of([[0, 5]])
    assert not gradients[:, 1:3].any()
    assert (gradients[:, [0, 3, 4, 5, 6]] > 0).all()
    torch.testing.assert_close(losses_of([[0, 5]], bias=5.0)[0], losses)
    negative, gradients = losses_of([])
    assert (gradients > 0).all()
    assert losses_of([], bias=5.0)[0]['loss_cls'] > negative['loss_cls']
    assert losses['loss_cls'] < negative['loss_cls']


def test_a_word_that_names_a_box_is_never_ignored():
    assert (losses_of([[0, 17]])[1][:, 4:6] > 0).all()


def test_a_loss_that_counts_padding_cannot_ignore_words():
    loss = dict(type='mmclip.TokenFocalLoss', kind='unmasked')
    detector = build(tiny_glip(head=dict(loss_cls=loss)))
    samples = [sample('a man', [0], tokens_positive=[[[0, 5]]])]
    detector.loss(images(), samples)
    samples[0].set_metainfo(dict(tokens_ignored=[[0, 1]]))
    with pytest.raises(ValueError, match="kind='unmasked'"):
        detector.loss(images(), samples)


@pytest.mark.parametrize(
    'text', [['cat', 'dog'], ('cat', 'dog'), 'cat. dog', 'cat. dog. ']
)
def test_names_come_as_list_tuple_or_sentence(text):
    (rows,) = maps_of([sample(text, [1])])
    assert [k for k, one in enumerate(rows[0]) if one] == [3]


def test_captions_of_different_lengths_are_one_batch():
    first, second = maps_of([sample(['cat'], [0]), sample(NAMES, [3])])
    assert len(first[0]) == len(second[0])
    assert first[0][1] == 1


def test_a_label_that_the_caption_does_not_name_is_an_error():
    with pytest.raises(IndexError, match='label 2 but its caption names 2'):
        maps_of([sample(['cat', 'dog'], [2])])


def test_a_span_outside_the_caption_is_an_error():
    with pytest.raises(ValueError, match=r'characters \[12, 40\)'):
        maps_of(
            [sample('a man walks a dog', [0], tokens_positive=[[[12, 40]]])]
        )


def test_names_that_fill_two_captions_cannot_be_learnt_at_once():
    with pytest.raises(ValueError, match='SampleNegativeClasses'):
        maps_of([sample(['cat', 'dog', 'cow'] * 8, [0])])


def test_a_sample_without_text_says_where_it_comes_from():
    with pytest.raises(ValueError, match='return_classes=True'):
        maps_of([sample(None, [0])])


# ---- inference ----


def test_found_labels_have_names():
    (found,) = predict(model(), [sample(NAMES)])
    assert len(found) > 0
    wanted = [NAMES[k] for k in found.labels.tolist()]
    assert found.label_names == wanted


def test_each_image_of_a_batch_may_ask_for_something_else():
    samples = [
        sample(NAMES),
        sample('a man walks the dog', tokens_positive=[[[12, 19]]]),
    ]
    both = predict(model(), samples)
    alone = predict(model(), [sample(NAMES)])[0]
    assert_same(both[0], alone)
    assert set(both[1].label_names) == {'the dog'}


def test_a_caption_is_split_into_phrases():
    (found,) = predict(
        model(), [sample('the man walks the dog', custom_entities=False)]
    )
    assert set(found.label_names) <= {'the man', 'the dog'}
    assert len(found) > 0


def test_a_phrase_said_twice_is_one_label():
    text = 'a cat and a cat and a dog'
    (found,) = predict(model(), [sample(text)])
    assert set(found.label_names) <= {'a cat', 'a dog'}
    assert set(found.labels.tolist()) <= {0, 1}


@pytest.mark.parametrize('rows', [1, 3, 8])
def test_chunks_are_found_as_if_each_was_asked_alone(rows):
    names = [*NAMES, 'cow']
    chunked = model(test_cfg=dict(chunked_size=2, rows_per_pass=rows))
    samples = [sample(names), sample(['bird', 'cat', 'dog'])]
    found = predict(chunked, samples)[0]
    assert found.scores.tolist() == sorted(found.scores, reverse=True)
    whole = model()
    for start in (0, 2, 4):
        part = names[start : start + 2]
        alone = predict(whole, [sample(part), sample(part)])[0]
        own = found[
            (found.labels >= start) & (found.labels < start + len(part))
        ]
        assert len(own) == len(alone)
        torch.testing.assert_close(
            own.scores, alone.scores, rtol=1e-4, atol=1e-5
        )


def test_more_names_than_a_caption_holds_are_all_asked_for():
    names = [
        f'{colour} {shape}'
        for colour in ('red', 'blue', 'left')
        for shape in ('circle', 'square', 'cat', 'dog', 'cow')
    ]
    (found,) = predict(model(), [sample(names)])
    assert len(set(found.labels.tolist())) > 5
    assert found.scores.isfinite().all()


def test_ways_to_say_a_label_share_it_over_chunks():
    ways = {'animal': ['cat', 'dog', 'cow'], 'shape': ['circle', 'square']}
    chunked = model(test_cfg=dict(chunked_size=2))
    (found,) = predict(chunked, [sample(ways)])
    assert set(found.label_names) == {'animal', 'shape'}
    boxes = found[found.labels == 0].bboxes - torch.tensor([0, 0, 1, 1])
    boxes = boxes / 2  # as NMS saw them
    from mmdet.registry import TASK_UTILS

    overlaps = TASK_UTILS.build(dict(type='mmdet.BboxOverlaps2D_GLIP'))
    iou = overlaps(boxes, boxes) - torch.eye(len(boxes))
    assert iou.max() <= 0.65  # the pixel added at the end moves it a little


def test_prompts_change_words_and_not_names():
    prompt = {'cat': dict(prefix='a ', suffix=' of the man')}
    (found,) = predict(model(), [sample(['cat'], caption_prompt=prompt)])
    (plain,) = predict(model(), [sample(['cat'])])
    assert set(found.label_names) == {'cat'}
    assert not torch.allclose(found.scores[:5], plain.scores[:5])


@pytest.mark.parametrize('text', ['', [], ['cat', ' ']])
def test_nothing_to_look_for_is_an_error(text):
    with pytest.raises(ValueError, match='no phrase|at least one name'):
        predict(model(), [sample(text)])


# ---- the words that are kept ----


def counted(detector):
    calls = []
    read = detector.language_model.forward

    def forward(texts):
        calls.append(list(texts))
        return read(texts)

    detector.language_model.forward = forward
    return calls


def test_a_caption_is_read_once():
    detector = model()
    calls = counted(detector)
    first = predict(detector, [sample(NAMES), sample(NAMES)])[0]
    again = predict(detector, [sample(NAMES), sample(['cat'])])[0]
    assert calls == [['red circle. blue square. cat. dog'], ['cat']]
    assert_same(first, again)


def test_kept_words_are_forgotten_when_weights_change():
    detector = model()
    calls = counted(detector)
    predict(detector, [sample(['cat'])])
    detector.load_state_dict(detector.state_dict())
    predict(detector, [sample(['cat'])])
    detector.train().eval()
    predict(detector, [sample(['cat'])])
    assert len(calls) == 3


def test_training_never_takes_kept_words():
    detector = model()
    predict(detector, [sample(['cat'])])
    detector.train()
    calls = counted(detector)
    detector.loss(images(), [sample(['cat'], [0])])
    detector.eval()
    detector.loss(images(), [sample(['cat'], [0])])  # with gradients
    assert len(calls) == 2


def test_only_so_many_captions_are_kept():
    detector = model(text_cache=2)
    for name in ('cat', 'dog', 'cow'):
        predict(detector, [sample([name])])
    assert list(detector.text_cache.kept) == ['dog', 'cow']
    assert model(text_cache=0).text_cache is None


# ---- around ----


def test_tensor_mode_runs_with_and_without_text():
    detector = model()
    logits, boxes, centre = detector(images(2), mode='tensor')
    assert logits[0].shape[:2] == (2, 96)
    logits, _, _ = detector(
        images(2), [sample(NAMES), sample(['cat'])], mode='tensor'
    )
    assert logits[0].shape[2] > 3


def test_without_fusion_it_trains_and_tests():
    detector = build(tiny_glip(head=dict(early_fuse=False)))
    losses = detector.loss(images(), [sample(NAMES, [2])])
    assert all(x.isfinite() for x in losses.values())
    assert len(predict(detector.eval(), [sample(NAMES)])[0]) > 0


def test_a_prompt_offset_moves_the_words():
    detector = model(prompt_tokens=40)
    before = predict(detector, [sample(['cat'])])[0]
    assert_same(before, predict(model(), [sample(['cat'])])[0])
    torch.nn.init.normal_(detector.tunable_linear)
    after = predict(detector, [sample(['cat'])])[0]
    assert not torch.allclose(before.scores[:5], after.scores[:5])


def test_a_cut_caption_loses_names_without_an_error():
    detector = model(language_model=tiny_bert(truncate=True, max_tokens=8))
    text = 'cat and dog and cow and bird'
    spans = [[[0, 3]], [[24, 28]]]
    (found,) = predict(detector, [sample(text, tokens_positive=spans)])
    assert set(found.label_names) == {'cat'}
