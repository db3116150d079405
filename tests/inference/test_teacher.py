from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmclip.glip.grounding import ground_caption
from mmclip.inference.teacher import DetectorTeacher

CAPTION = 'a dog near a cat and a dog'
SPANS = [(0, 5), (11, 16), (21, 26)]


class Model:
    """Answer with a box for each thing asked, as mmdet's models do."""

    def __init__(self, names=True):
        self.names, self.asked = names, []

    def test_step(self, batch):
        for image, sample in zip(batch['inputs'], batch['data_samples']):
            self.asked.append((image, sample))
            spans = sample.get('tokens_positive', sample.text)
            found = InstanceData(
                bboxes=torch.ones(len(spans), 4),
                scores=torch.full((len(spans),), 0.7),
                labels=torch.arange(len(spans)),
            )
            if self.names:
                found.label_names = list(map(str, spans))
            sample.pred_instances = found
        return batch['data_samples']


def teacher(model, **kwargs):
    def pipeline(data):
        return dict(inputs=data['img'], data_samples=DetDataSample())

    return DetectorTeacher(
        SimpleNamespace(model=model, pipeline=pipeline), **kwargs
    )


def ask(model, count=1, **kwargs):
    images = [np.full((4, 6, 3), (1, 2, 3), np.uint8)] * count
    asked = [ground_caption(CAPTION, lambda text: SPANS)] * count
    return teacher(model, **kwargs)(images, asked)


def test_a_grounding_model_gets_the_caption_and_its_spans():
    model = Model()
    model.language_model = None
    found = ask(model, count=2)
    image, sample = model.asked[1]
    assert sample.text == CAPTION
    assert sample.tokens_positive == [[[0, 5], [21, 26]], [[11, 16]]]
    assert image[0, 0].tolist() == [3, 2, 1]  # mmdet reads BGR
    assert len(found) == 2
    assert found[0]['labels'].tolist() == [0, 1]


def test_another_model_gets_the_phrases_as_names():
    model = Model()
    ask(model)
    _, sample = model.asked[0]
    assert sample.text == ['dog', 'cat']
    assert sample.custom_entities
    ask(model, ask='caption')
    assert model.asked[1][1].text == CAPTION


def test_a_model_that_does_not_read_and_a_wrong_way_to_ask_are_told():
    with pytest.raises(LookupError, match='Model does not read text'):
        ask(Model(names=False))
    with pytest.raises(ValueError, match="ask='words'"):
        ask(Model(), ask='words')
