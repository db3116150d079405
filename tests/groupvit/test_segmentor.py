import pytest
import torch
from mmseg.structures import SegDataSample

from mmclip.groupvit.segmentor import GroupViTSegmentor
from mmclip.registry import MODELS
from tests.groupvit.tiny import IMAGE, TOWERS, images, sharpened

TEXT = dict(embed_dims=16, layers=1)  # as many tokens as CLIP's words need
NAMES = ['cat', 'dog', 'traffic light']


@pytest.fixture(scope='module')
def weights():
    torch.manual_seed(0)
    model = MODELS.build(
        dict(type='mmclip.GroupViTPretrainer', **TOWERS)
        | dict(text_encoder=TEXT)
    )
    sharpened(model.img_encoder)
    with torch.no_grad():
        model.logit_scale.fill_(3.0)
    return model.state_dict()


def segmentor(weights, **options):
    settings = TOWERS | dict(text_encoder=TEXT)
    model = GroupViTSegmentor(**(settings | options)).eval()
    model.load_state_dict(weights)
    return model


def samples(count, shape):
    return [SegDataSample(metainfo=dict(ori_shape=shape))] * count


@torch.no_grad()
def test_a_pretrained_checkpoint_segments_by_names(weights):
    model = segmentor(weights, names=NAMES)
    found = model(images(2), samples(2, (40, 20)), mode='predict')
    for sample in found:
        assert sample.pred_sem_seg.data.shape == (1, 40, 20)
        assert sample.seg_logits.data.shape == (3, 40, 20)
    assert found[0].pred_sem_seg.data.max() < 3


@torch.no_grad()
def test_images_are_segmented_alike_alone_and_in_a_batch(weights):
    model = segmentor(weights, names=NAMES, background_threshold=0.3)
    both = model.encode_decode(images(2))
    assert both.shape == (2, 4, 32, 32)
    torch.testing.assert_close(both[1:], model.encode_decode(images(2)[1:]))


@torch.no_grad()
def test_windows_are_averaged_where_they_overlap(weights):
    model = segmentor(
        weights,
        names=NAMES,
        test_cfg=dict(mode='slide', crop_size=(32, 32), stride=(16, 16)),
    )
    image = images(1, 32, 48)
    left, right = (
        model.encode_decode(image[..., x : x + 32]) for x in (0, 16)
    )
    whole = model.inference(image, [dict(ori_shape=(32, 48))])
    torch.testing.assert_close(whole[..., :16], left[..., :16])
    torch.testing.assert_close(
        whole[..., 16:32], (left[..., 16:] + right[..., :16]) / 2
    )
    torch.testing.assert_close(whole[..., 32:], right[..., 16:])


@torch.no_grad()
def test_the_encoder_runs_once_a_window(weights):
    model, runs = segmentor(weights, names=NAMES), []
    model.img_encoder.norm.register_forward_hook(lambda *_: runs.append(1))
    model.encode_decode(images(1, 33, 40))
    assert len(runs) == 1


@torch.no_grad()
def test_names_can_be_replaced_and_follow_new_weights(weights):
    model = segmentor(weights, names=NAMES)
    assert model.out_channels == 3
    model.set_vocabulary(['sofa'])
    assert model.encode_decode(images(1)).shape[1] == 1
    before = model.text
    changed = {k: v + 0.1 if v.ndim else v for k, v in weights.items()}
    model.load_state_dict(changed)
    model.encode_decode(images(1))
    assert model.names == ['sofa']
    assert not torch.allclose(model.text, before)


@torch.no_grad()
def test_templates_are_averaged_before_they_are_normalised(weights):
    model = segmentor(weights, names=['cat'], prompts=['{}', 'a red {}'])
    model.ensure_vocabulary()
    ids = model.tokenize(['cat'])
    assert ids.shape == (1, 2, 77)
    mean = model.encode_text(ids)[0].mean(dim=0)
    torch.testing.assert_close(model.text[0], mean / mean.norm())


@torch.no_grad()
def test_background_prompts_share_label_zero(weights):
    model = segmentor(weights, names=NAMES, background_prompts=['sky', 'wall'])
    assert model.out_channels == 4
    assert model.encode_decode(images(1)).shape[1] == 4


def test_no_names_and_wrong_embeddings_are_said(weights):
    model = segmentor(weights)
    with pytest.raises(ValueError, match='set_vocabulary'):
        model.encode_decode(images(1))
    with pytest.raises(ValueError, match='2 embeddings for 1 names'):
        model.set_vocabulary(['cat'], torch.ones(2, 12))
    with pytest.raises(ValueError, match='no names'):
        model.set_vocabulary([])


def test_it_is_built_from_a_config_and_does_not_train():
    model = MODELS.build(
        dict(
            type='mmclip.GroupViTSegmentor',
            img_encoder=IMAGE,
            text_encoder=TEXT,
            data_preprocessor=dict(type='mmseg.SegDataPreProcessor'),
        )
    )
    with pytest.raises(NotImplementedError, match='GroupViTPretrainer'):
        model(images(1), samples(1, (32, 32)), mode='loss')
