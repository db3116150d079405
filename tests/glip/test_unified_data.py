"""Questions and captions in the files of COCO reach a model."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from PIL import Image

from mmclip.jobs import find_config
from tests.glip.test_unified_model import unified


@pytest.fixture
def coco(tmp_path):
    """An image, a question of ten annotators, a caption, and the data sets."""
    name = 'COCO_train2014_000000000007.jpg'
    (tmp_path / 'train2014').mkdir()
    pixels = np.zeros((48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'train2014' / name)
    key = dict(image_id=7, question_id=70)
    question = dict(key, question='a man walks')
    answers = [dict(answer=a) for a in ['red'] * 4 + ['pink'] * 6]
    found = dict(key, answers=answers, answer_type='other')
    files = {
        'question_file': dict(questions=[question]),
        'answers': dict(annotations=[found]),
        'captions': [dict(image=f'train2014/{name}', caption='a cat')],
    }
    for stem, content in files.items():
        (tmp_path / f'{stem}.json').write_text(json.dumps(content))
    cfg = Config.fromfile(find_config('glipv2-t_swin-t_fpn_coco'))
    joined = cfg.train_dataloader.dataset
    resize = joined.datasets[1].pipeline[1]
    resize.scales = [(96, 64)]
    joined.datasets = joined.datasets[1:]
    for part in joined.datasets:
        part.data_root = str(tmp_path)
        part.pipeline[1] = resize
    joined.datasets[0].question_file = 'question_file.json'
    joined.datasets[0].ann_file = 'answers.json'
    joined.datasets[1].ann_file = 'captions.json'
    return DATASETS.build(joined)


def test_mmpretrains_data_sets_are_told_by_their_fields(coco):
    batch = pseudo_collate([coco[0], coco[1]])
    asked, told = batch['data_samples']
    assert asked.question == 'a man walks'
    assert asked.gt_answer == ['red', 'pink']
    assert asked.gt_answer_weight == [0.4, 0.6]
    assert told.gt_caption == 'a cat'
    model = unified().eval()
    data = model.data_preprocessor(batch, True)
    losses = model.loss(data['inputs'], data['data_samples'])
    assert losses['loss_vqa'] > 0
    assert losses['loss_caption'] > 0
    with torch.no_grad():
        asked, told = model.predict(data['inputs'], data['data_samples'])
    assert asked.pred_answer in model.vqa_head.answers
    assert isinstance(told.pred_caption, str)
