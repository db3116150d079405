import pytest
import torch

from mmclip.clip.text import CLIPTextEncoder
from mmclip.groupvit.rescoring import MaskRescoring
from mmclip.groupvit.segmentor import GroupViTSegmentor
from tests.groupvit.tiny import TOWERS, images

SHAPES = dict(
    encoder=dict(type='mmclip.CLIPImageEncoder', model='shapes-clip'),
    text_encoder=dict(type='mmclip.CLIPTextEncoder', model='shapes-clip'),
)


@pytest.fixture(scope='module')
def rescoring():
    return MaskRescoring(**SHAPES, stride=4, weight=0.5, logit_scale=10)


@torch.no_grad()
def test_a_mask_has_the_mean_of_the_embeddings_in_it(rescoring):
    picture = torch.rand(2, 3, 64, 64)
    labels = torch.zeros(2, 64, 64, dtype=torch.int64)
    labels[:, 32:] = 2
    seen = rescoring.embed(picture, labels, 3)
    dense = rescoring.dense.embed(picture, (16, 16))
    for group, rows in ((0, slice(0, 8)), (2, slice(8, 16))):
        mean = dense[:, :, rows].flatten(2).mean(dim=2)
        torch.testing.assert_close(
            seen[:, group], torch.nn.functional.normalize(mean, dim=1)
        )
    assert (seen[:, 1] == 0).all()  # no pixel


@torch.no_grad()
def test_names_are_scored_by_that_clips_own_text(rescoring):
    seen = torch.randn(1, 2, 128)
    found = rescoring.logits(
        seen, {'red circle': ['red circle'], 'b': ['star']}
    )
    text = CLIPTextEncoder('shapes-clip').encode(
        ['a photo of a red circle.', 'a photo of a star.']
    )
    torch.testing.assert_close(found, 0.5 * 10 * seen @ text.t())


@torch.no_grad()
def test_a_segmentor_asks_it_and_saves_nothing_of_it():
    settings = TOWERS | dict(text_encoder=dict(embed_dims=16, layers=1))
    torch.manual_seed(0)
    plain = GroupViTSegmentor(**settings, names=['red circle', 'blue star'])
    torch.manual_seed(0)
    asking = GroupViTSegmentor(
        **settings, names=['red circle', 'blue star'], rescoring=SHAPES
    )
    assert plain.state_dict().keys() == asking.state_dict().keys()
    plain.eval(), asking.eval()
    features = asking.extract_feat(images(2, 64, 64))
    assert features.seen.shape == (2, 3, 128)
    before = plain.encode_decode(images(2, 64, 64))
    after = asking.encode_decode(images(2, 64, 64))
    assert before.shape == after.shape
    assert not torch.allclose(before, after)
