import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from mmclip.lseg.dense_clip import DenseCLIPEncoder
from tests.clip.conftest import make_clip
from tests.lseg.test_segmentor import OPEN_CLIP
from tests.lseg.tiny import NAMES, sample

RANDOM = torch.Generator().manual_seed(3)
TABLE = torch.randn(3, OPEN_CLIP['embed_dim'], generator=RANDOM)


def segmentor(names=NAMES[:3], background=None, **backbone):
    """Build a training-free segmentor upon a tiny ViT of open_clip."""
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='mmclip.OpenVocabEncoderDecoder',
            data_preprocessor=dict(
                type='mmseg.SegDataPreProcessor',
                mean=[127.5] * 3,
                std=[127.5] * 3,
            ),
            backbone=dict(
                type='mmclip.DenseCLIPEncoder', model=OPEN_CLIP, **backbone
            ),
            decode_head=dict(
                type='mmclip.CLIPDenseHead',
                background=background,
                vocabulary=dict(
                    type='mmclip.Vocabulary',
                    names=names,
                    embeddings=TABLE[: len(names)],
                ),
            ),
        )
    ).eval()


@pytest.mark.parametrize('attention', ['values', 'self'])
@pytest.mark.parametrize('count', [1, 3])
@torch.no_grad()
def test_scores_are_the_cosines_of_the_towers_dense_map(attention, count):
    model = segmentor(NAMES[:count], attention=attention)
    image = torch.randn(2, 3, 64, 96)
    seen = model.backbone.dense(image, attention=attention)
    texts = F.normalize(TABLE[:count], dim=1)
    wanted = torch.einsum('bdhw,kd->bkhw', seen, texts) / 0.07
    wanted = F.interpolate(wanted, (64, 96), mode='bilinear')
    torch.testing.assert_close(model(image), wanted, rtol=1e-4, atol=1e-4)


def test_both_attentions_differ():
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        found = [segmentor(attention=a)(image) for a in ('values', 'self')]
    assert not torch.allclose(*found)


def test_nothing_can_be_trained():
    model = segmentor()
    assert not any(p.requires_grad for p in model.parameters())
    assert not list(model.decode_head.parameters())


@torch.no_grad()
def test_images_of_any_size_are_answered_in_any_names():
    model = segmentor(zoom=2, background=dict(kind='threshold', threshold=0.9))
    model.set_vocabulary(TABLE[:2], ['background', 'dog'])
    image = torch.randn(1, 3, 33, 50)
    (found,) = model.predict(image, [sample((33, 50))])
    assert found.pred_sem_seg.data.shape == (1, 33, 50)
    assert (found.pred_sem_seg.data == 0).all()  # no cosine is above 0.9
    assert found.label_names == ['background', 'dog']


def test_zoom_enlarges_what_the_tower_sees():
    near = DenseCLIPEncoder(make_clip(), zoom=2)
    plain = DenseCLIPEncoder(make_clip())
    image = torch.randn(1, 3, 32, 32)
    large = F.interpolate(image, scale_factor=2, mode='bilinear')
    torch.testing.assert_close(near(image), plain(large))


def test_a_tower_without_queries_takes_values_alone():
    encoder = DenseCLIPEncoder('shapes-clip', attention='self')
    with pytest.raises(ValueError, match="take 'values'"):
        encoder(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match="attention='query'"):
        encoder.dense(torch.zeros(1, 3, 64, 64), attention='query')
