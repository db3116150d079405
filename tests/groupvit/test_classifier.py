import pytest
import torch
from mmpretrain.structures import DataSample

from mmclip.clip.similarity import cosine_logits
from mmclip.groupvit.classifier import GroupViTClassifier, imagenet_phrases
from mmclip.registry import METRICS, MODELS
from tests.groupvit.tiny import TOWERS, images, sharpened

TEXT = dict(embed_dims=16, layers=1)  # as many tokens as CLIP's words need
NAMES = ['cat', 'dog', 'traffic light']


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    settings = TOWERS | dict(text_encoder=TEXT)
    pretrainer = MODELS.build(
        dict(type='mmclip.GroupViTPretrainer', **settings)
    )
    sharpened(pretrainer.img_encoder)
    built = GroupViTClassifier(**settings, names=NAMES).eval()
    built.load_state_dict(pretrainer.state_dict())
    return built


@torch.no_grad()
@pytest.mark.parametrize('batch', [1, 2])
def test_images_get_the_name_whose_mean_embedding_is_nearest(model, batch):
    found = model(images(batch), mode='predict')
    whole = model.encode_image(images(batch))[0]
    ids = model.vocabulary.tokenize(NAMES)
    assert ids.shape == (3, 7, 77)  # seven templates
    means = model.encode_text(ids).mean(dim=1)
    expected = cosine_logits(whole, means).argmax(dim=1)
    assert [int(f.pred_label) for f in found] == expected.tolist()
    assert found[0].pred_name == NAMES[expected[0]]
    torch.testing.assert_close(found[0].pred_score.sum(), torch.tensor(1.0))


@torch.no_grad()
def test_mmpretrain_measures_it(model):
    truth = model(images(2)).argmax(dim=1)
    truth[1] = (truth[1] + 1) % 3
    samples = [DataSample().set_gt_label(label) for label in truth]
    metric = METRICS.build(dict(type='mmpretrain.Accuracy', topk=(1, 3)))
    found = model(images(2), samples, mode='predict')
    metric.process({}, [sample.to_dict() for sample in found])
    figures = metric.evaluate(2)
    assert figures == {'accuracy/top1': 50.0, 'accuracy/top3': 100.0}


def test_imagenet_has_a_thousand_names():
    phrases = imagenet_phrases()
    assert len(phrases) == 1000
    assert phrases['missile (2)'] == 'missile'
    assert list(phrases.values())[:2] == ['tench', 'goldfish']


def test_it_does_not_train(model):
    with pytest.raises(ValueError, match='GroupViTPretrainer'):
        model(images(1), mode='loss')
