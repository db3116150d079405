import pytest
import torch

from tests.glip.test_glipv2 import glipv2, masked_sample
from tests.glip.tiny import NAMES, PIECES, WORDS, images, sample

ANSWERS = ['red', 'blue', '2']
BOXES = {'loss_cls', 'loss_bbox', 'loss_centerness', 'loss_contrast'}
LOSSES = BOXES | {'loss_mask', 'loss_mlm', 'loss_vqa', 'loss_caption'}


def unified(**options):
    heads = dict(
        type='mmclip.GLIPv2',
        vqa_head=dict(
            type='mmclip.VQAHead', answers=ANSWERS, language_dim=WORDS
        ),
        caption_head=dict(
            type='mmclip.CaptionHead',
            language_dim=WORDS,
            vocab_size=len(PIECES),
        ),
    )
    return glipv2(**{**heads, **options})


def detection(labels=(0, 1)):
    hidden = [[1, 5], [2, 6]]
    return masked_sample(NAMES, labels, task='detection', masked_words=hidden)


def grounding():
    text, spans = 'a man walks a dog', [[[12, 17]]]
    return sample(text, [0], tokens_positive=spans, task='grounding')


def vqa(question='a red circle and a dog', answer='blue'):
    meta = dict(question=question, gt_answer=answer, task='vqa')
    return sample(
        labels=(), **{k: v for k, v in meta.items() if v is not None}
    )


def caption(text=('a cat', 'the cat')):
    return sample(labels=(), task='caption', gt_caption=text)


EVERY = {  # the losses that each task has
    caption: {'loss_caption'},
    detection: BOXES | {'loss_mask', 'loss_mlm'},
    vqa: {'loss_vqa'},
    grounding: BOXES,
}


@pytest.fixture(scope='module')
def model():
    return unified()


def test_a_batch_of_all_tasks_teaches_all_parts(model):
    model.train().zero_grad(set_to_none=True)
    losses = model.loss(images(4), [make() for make in EVERY])
    assert set(losses) == LOSSES
    assert all(x.isfinite() and x > 0 for x in losses.values())
    sum(losses.values()).backward()
    still = {n for n, p in model.named_parameters() if p.grad is None}
    assert not still


@pytest.mark.parametrize('make', EVERY, ids=lambda make: make.__name__)
def test_any_task_alone_has_the_same_losses_and_parameters(model, make):
    model.train().zero_grad(set_to_none=True)
    losses = model.loss(images(1), [make()])
    assert set(losses) == LOSSES
    assert {name for name, x in losses.items() if x > 0} == EVERY[make]
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_losses_of_a_mixed_batch_are_those_of_its_parts(model):
    model.eval()  # no dropout
    both = model.loss(images(2), [detection(), vqa()])
    own = model.loss(images(2)[1:], [vqa()])
    torch.testing.assert_close(both['loss_vqa'], own['loss_vqa'])
    own = model.loss(images(2)[:1], [detection()])
    for name in EVERY[detection]:
        torch.testing.assert_close(both[name], own[name])


@torch.no_grad()
def test_each_sample_is_answered_by_its_task(model):
    model.eval()
    samples = [make() for make in EVERY]
    told, boxes, answered, found = model.predict(images(4), samples)
    assert isinstance(told.pred_caption, str)
    assert answered.pred_answer in ANSWERS
    assert 0 < answered.pred_answer_score < 1
    assert boxes.pred_instances.masks.shape[1:] == (128, 192)
    assert set(found.pred_instances.label_names) == {'a dog'}
    assert 'pred_instances' not in told
    assert 'pred_answer' not in boxes
    alone = model.predict(images(4)[1:2], [detection()])[0].pred_instances
    torch.testing.assert_close(
        boxes.pred_instances.scores, alone.scores, rtol=1e-4, atol=1e-5
    )


@torch.no_grad()
def test_the_backbone_runs_once_for_all_tasks(model, monkeypatch):
    sizes, forward = [], model.backbone.forward
    monkeypatch.setattr(
        model.backbone, 'forward', lambda x: sizes.append(len(x)) or forward(x)
    )
    model.eval().predict(images(4), [make() for make in EVERY])
    assert sizes == [4]


@torch.no_grad()
def test_without_a_task_it_is_told_by_what_a_sample_has(model):
    samples = [
        sample(NAMES),
        sample(labels=(), question='a cat', gt_answer='red'),
        sample(labels=(), gt_caption='a cat'),
    ]
    found = model.eval().predict(images(3), samples)
    assert len(found[0].pred_instances)
    assert found[1].pred_answer in ANSWERS
    assert isinstance(found[2].pred_caption, str)
    assert [x.task for x in found] == ['detection', 'vqa', 'caption']


def test_an_unknown_task_is_an_error(model):
    odd = sample(NAMES, task='segmentation')
    for call in (model.loss, model.predict):
        with pytest.raises(ValueError, match="'segmentation': expected one"):
            call(images(), [odd])


@pytest.mark.parametrize('make', [vqa, caption])
def test_a_task_without_its_head_is_an_error(model, make, monkeypatch):
    head = f'{make.__name__}_head'
    monkeypatch.setitem(model._modules, head, None)
    with pytest.raises(ValueError, match=f'has no {head}'):
        model.predict(images(), [make()])


@pytest.mark.parametrize('question', ['', ' ', None])
def test_an_empty_question_is_an_error(model, question):
    with pytest.raises(ValueError, match='has the question'):
        model.predict(images(), [vqa(question)])


def test_an_unknown_answer_is_an_error(model):
    with pytest.raises(ValueError, match=r"\['pink'\] to 'a red circle and"):
        model.loss(images(2), [detection(), vqa(answer='pink')])


@pytest.mark.parametrize('text', [None, []])
def test_no_caption_to_learn_is_an_error(model, text):
    with pytest.raises(ValueError, match='no gt_caption'):
        model.loss(images(2), [detection(), caption(text)])
