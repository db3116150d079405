import copy
from types import SimpleNamespace

import pytest
import torch
from mmseg.structures import SegDataSample

from mmclip.groupvit.segmentor import GroupViTSegmentor
from mmclip.hooks import VocabularyHook
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


def samples(count, shape, **fields):
    meta = dict(ori_shape=shape) | fields
    return [SegDataSample(metainfo=meta) for _ in range(count)]


@torch.no_grad()
def test_a_pretrained_checkpoint_segments_by_names(weights):
    model = segmentor(weights, names=NAMES)
    found = model(images(2), samples(2, (40, 20)), mode='predict')
    for sample in found:
        assert sample.pred_sem_seg.data.shape == (1, 40, 20)
        assert sample.seg_logits.data.shape == (3, 40, 20)
        assert sample.label_names == NAMES
    assert found[0].pred_sem_seg.data.max() < 3


@torch.no_grad()
def test_images_are_segmented_alike_alone_and_in_a_batch(weights):
    model = segmentor(
        weights,
        names=['background', *NAMES],
        background=dict(kind='threshold', threshold=0.3),
    )
    both = model.encode_decode(images(2))
    assert both.shape == (2, 4, 32, 32)
    torch.testing.assert_close(both[1:], model.encode_decode(images(2)[1:]))


@torch.no_grad()
def test_each_image_may_bring_its_own_names(weights):
    model = segmentor(weights, names=NAMES)
    asked = [*samples(1, (32, 32), text='cat . sofa'), *samples(1, (32, 32))]
    found = model(images(2), asked, mode='predict')
    assert [f.label_names for f in found] == [['cat', 'sofa'], NAMES]
    model.set_vocabulary(['cat', 'sofa'])
    torch.testing.assert_close(
        found[0].seg_logits.data, model.encode_decode(images(2)[:1])[0]
    )


@torch.no_grad()
@pytest.mark.parametrize('mode', ['whole', 'slide', 'merge'])
@pytest.mark.parametrize('shape', [(32, 48), (51, 70)])
def test_many_names_get_the_labels_that_their_scores_have(
    weights, mode, shape
):
    names = ['background', *(f'thing {k}' for k in range(9))]
    model = segmentor(
        weights,
        names=names,
        background=dict(kind='threshold', threshold=0.1),
        test_cfg=dict(mode=mode, crop_size=(32, 32), stride=(16, 16)),
    )
    image = images(2, 36, 48)
    groups = model.encode_image(image)[1].flatten(0, 1)
    near = (groups - groups.mean(dim=0)).repeat(2, 1)[:9]  # several names win
    model.set_vocabulary(torch.cat([near[:1] * 0, near]), names)
    padded = dict(img_padding_size=[0, 0, 0, 4], flip=True)
    asked = [
        samples(2, shape, flip_direction='horizontal', **padded)
        for _ in range(2)
    ]
    whole = model(image, asked[0], mode='predict')
    model.chunk = 4
    parts = model(image, asked[1], mode='predict')
    labels = torch.stack([sample.pred_sem_seg.data for sample in whole])
    assert labels.unique().numel() > 1
    for a, b in zip(whole, parts):
        assert (a.pred_sem_seg.data == b.pred_sem_seg.data).all()
        assert 'seg_logits' not in b


@torch.no_grad()
def test_a_pixel_has_the_embedding_of_its_group(weights):
    model = segmentor(weights, names=NAMES)
    image = images(1, 20, 36)
    pixels = model.pixel_embeddings(image)
    assert pixels.shape == (1, 12, 10, 18)
    torch.testing.assert_close(pixels.norm(dim=1), torch.ones(1, 10, 18))
    _, groups, grouping = model.encode_image(image)
    own = groups[0, grouping.labels()[0, 6, 30]]
    torch.testing.assert_close(pixels[0, :, 3, 15], own / own.norm())


@torch.no_grad()
def test_half_precision_changes_few_pixels(weights):
    model = segmentor(weights, names=NAMES)
    before = model.encode_decode(images(2, 64, 64)).argmax(dim=1)
    assert model.compute_in(torch.bfloat16).dtype == torch.bfloat16
    scores = model.encode_decode(images(2, 64, 64))
    assert scores.dtype == torch.float32
    assert (scores.argmax(dim=1) == before).float().mean() > 0.8


@torch.no_grad()
def test_hard_assignments_are_another_choice(weights):
    model = segmentor(weights, names=NAMES, assignment='hard')
    grouping = model.encode_image(images(2))[2]
    labels = model.extract_feat(images(2)).labels
    assert (labels == grouping.labels(hard=True)).all()
    first, second = (a.argmax(dim=1) for a in grouping.assignments)
    patch = second.gather(1, first).unflatten(1, grouping.grid)
    assert (grouping.patch_maps(hard=True).argmax(dim=1) == patch).all()
    with pytest.raises(ValueError, match='soft'):
        segmentor(weights, assignment='firm')


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
    assert model.out_channels == model.num_classes == 3
    model.set_vocabulary(['sofa'])
    assert model.encode_decode(images(1)).shape[1] == 1
    before = model.decode_head.vocabulary.embeddings
    changed = {k: v + 0.1 if v.ndim else v for k, v in weights.items()}
    model.load_state_dict(changed)
    assert model.decode_head.vocabulary.names == ['sofa']
    after = model.decode_head.vocabulary.embeddings
    assert not torch.allclose(after, before)


@torch.no_grad()
def test_templates_are_averaged_before_they_are_normalised(weights):
    model = segmentor(weights, names=['cat'], prompts=['{}', 'a red {}'])
    ids = model.decode_head.vocabulary.tokenize(['cat'])
    assert ids.shape == (1, 2, 77)
    mean = model.encode_text(ids)[0].mean(dim=0)
    torch.testing.assert_close(
        model.decode_head.vocabulary.embeddings[0], mean / mean.norm()
    )


def test_names_follow_the_data_set(weights):
    model = segmentor(
        weights, background=dict(kind='threshold', threshold=0.3)
    )
    dataset = SimpleNamespace(metainfo=dict(classes=('background', 'cat')))
    runner = SimpleNamespace(
        model=model, test_dataloader=SimpleNamespace(dataset=dataset)
    )
    VocabularyHook().before_test_epoch(runner)
    assert model.decode_head.vocabulary.names == ['background', 'cat']
    assert model.decode_head.background_row == 0


@torch.no_grad()
def test_a_copy_speaks_for_itself(weights):
    model = segmentor(weights, names=NAMES)
    other = copy.deepcopy(model)
    other.set_vocabulary(['sofa'])
    other.logit_scale.fill_(1.0)
    assert model.decode_head.vocabulary.names == NAMES
    torch.testing.assert_close(
        other.decode_head.scale(), torch.tensor(1.0).exp()
    )


def test_no_names_are_said(weights):
    model = segmentor(weights)
    with pytest.raises(RuntimeError, match='set_vocabulary'):
        model.encode_decode(images(1))


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
