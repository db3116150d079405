import torch
from mmcv.transforms import Compose
from mmengine.config import Config

from mmclip.groupvit.from_pretraining import (
    adapted,
    is_pretrainer,
    pipeline_for_use,
    segmentor_config,
)
from mmclip.registry import MODELS
from tests.groupvit.tiny import TOWERS, images, sharpened

SHAPES = dict(TOWERS, text_encoder=dict(embed_dims=16, layers=1))
SHAPES['text_encoder'] |= dict(vocab_size=66, context_length=48)
PRETRAINER = dict(
    type='mmclip.GroupViTPretrainer',
    **SHAPES,
    chunk_size=3,
    data_preprocessor=dict(
        type='mmengine.ImgDataPreprocessor',
        mean=[100.0] * 3,
        std=[50.0] * 3,
        bgr_to_rgb=True,
    ),
)


@torch.no_grad()
def test_a_pretraining_becomes_a_segmentor_with_the_same_weights():
    assert is_pretrainer(PRETRAINER)
    pretrainer = MODELS.build(PRETRAINER)
    sharpened(pretrainer.img_encoder)
    names = ['red circle', 'blue star']
    model = MODELS.build(segmentor_config(PRETRAINER, names=names)).eval()
    model.load_state_dict(pretrainer.state_dict())
    assert model.data_preprocessor.mean.flatten().tolist() == [100] * 3
    assert model.encode_decode(images(1)).shape == (1, 2, 32, 32)
    assert not is_pretrainer(segmentor_config(PRETRAINER))


def test_published_statistics_and_words_are_the_default():
    config = segmentor_config(dict(type='mmclip.GroupViTPretrainer'))
    assert config['tokenizer'] == 'clip'
    assert config['data_preprocessor']['mean'][0] == 123.675


def test_the_shorter_side_is_twice_that_of_training():
    steps = Compose(pipeline_for_use(PRETRAINER))
    picture = torch.zeros(30, 45, 3, dtype=torch.uint8).numpy()
    packed = steps(dict(img=picture, img_shape=(30, 45), ori_shape=(30, 45)))
    assert packed['inputs'].shape == (3, 64, 96)
    assert packed['data_samples'].ori_shape == (30, 45)


def test_a_pretraining_is_built_as_a_segmentor_and_others_as_they_are():
    cfg = Config(dict(model=PRETRAINER, default_scope='mmengine'))
    found = adapted(cfg)
    assert found.model.type == 'mmclip.GroupViTSegmentor'
    assert found.model.background.threshold == 0.95
    assert found.default_scope == 'mmseg'
    assert adapted(found) is found


def test_the_background_fits_what_prompts_were_matched_with():
    model = dict(PRETRAINER, prompt_match='segment')
    background = adapted(Config(dict(model=model))).model.background
    assert background.kind == 'cosine'
    assert 'prompt_match' not in segmentor_config(model)
