import numpy as np
import pytest
import torch

from mmclip.models import TextEmbeddingClassifier

NAMES = ['cat', 'dog', 'cow']


def vocabulary(names=NAMES, width=8):
    if names is None:
        return dict(type='mmclip.Vocabulary', embed_dims=width)
    rng = np.random.default_rng(0)
    return dict(
        type='mmclip.Vocabulary',
        names=names,
        embeddings=rng.normal(size=(len(names), width)),
    )


@pytest.mark.parametrize('regions', [0, 1, 5])
@pytest.mark.parametrize('names', [NAMES, NAMES[:1]])
def test_logits_are_cosines_over_temperature_with_background_last(
    regions, names
):
    head = TextEmbeddingClassifier(vocabulary(names), 6, temperature=0.1)
    features = torch.randn(regions, 6)
    logits = head(features)
    assert logits.shape == (regions, len(names) + 1)
    expected = torch.cosine_similarity(
        head.project(features)[:, None], head.vocabulary.embeddings[None], -1
    )
    background = torch.cosine_similarity(
        head.project(features), head.background[None], -1
    )
    torch.testing.assert_close(logits[:, :-1], expected / 0.1)
    torch.testing.assert_close(logits[:, -1], background / 0.1)


def test_the_test_temperature_holds_in_evaluation_alone():
    head = TextEmbeddingClassifier(
        vocabulary(), 6, temperature=0.01, test_temperature=0.007
    )
    features = torch.randn(2, 6)
    trained, tested = head.train()(features), head.eval()(features)
    torch.testing.assert_close(tested, trained * 0.01 / 0.007)


def test_only_projection_and_background_learn():
    head = TextEmbeddingClassifier(vocabulary(), 6)
    head(torch.randn(4, 6)).logsumexp(1).sum().backward()
    learnt = {
        name for name, p in head.named_parameters() if p.grad is not None
    }
    assert learnt == {'project.weight', 'project.bias', 'background'}


def test_a_box_head_does_not_overwrite_the_projection():
    from mmdet.registry import MODELS

    box_head = MODELS.build(
        dict(
            type='mmdet.Shared2FCBBoxHead',
            in_channels=4,
            fc_out_channels=64,
            cls_predictor_cfg=dict(
                type='mmclip.TextEmbeddingClassifier', vocabulary=vocabulary()
            ),
        )
    )
    box_head.init_weights()
    spread = box_head.fc_cls.project.weight.std().item()
    assert spread == pytest.approx((2 / (64 + 8)) ** 0.5, rel=0.2)
    assert box_head.fc_cls.background.std() < 0.03


def test_an_empty_vocabulary_says_what_fills_it():
    head = TextEmbeddingClassifier(vocabulary(None), 6)
    with pytest.raises(RuntimeError, match='VocabularyHook'):
        head(torch.randn(1, 6))


def test_a_width_that_nobody_told_is_asked_for():
    with pytest.raises(ValueError, match='embed_dims'):
        TextEmbeddingClassifier(dict(type='mmclip.Vocabulary'), 6)


@pytest.mark.parametrize(
    'wrong', [dict(temperature=0), dict(test_temperature=-1)]
)
def test_a_temperature_that_cannot_divide_is_refused(wrong):
    with pytest.raises(ValueError, match='above 0'):
        TextEmbeddingClassifier(vocabulary(), 6, **wrong)
