import torch

from mmclip.clip.text import CausalTextTower
from mmclip.groupvit import GroupViTTextEncoder
from tests.groupvit.tiny import TEXT, tokens


@torch.no_grad()
def test_padding_is_cut_and_changes_nothing():
    encoder = GroupViTTextEncoder(**TEXT).eval()
    ids = tokens()[0]
    short = encoder(ids)
    assert short.shape == (4, 16)
    torch.testing.assert_close(short, CausalTextTower.forward(encoder, ids))


@torch.no_grad()
def test_only_what_stands_before_the_end_token_is_read():
    encoder, ids = GroupViTTextEncoder(**TEXT).eval(), tokens()[0]
    late, early = ids.clone(), ids.clone()
    late[:, 7] = 5
    early[:, 2] = 5
    torch.testing.assert_close(encoder(late), encoder(ids))
    assert not torch.allclose(encoder(early), encoder(ids))


def test_the_published_model_has_a_head_to_each_64_of_width():
    encoder = GroupViTTextEncoder(layers=1, vocab_size=10)
    assert encoder.transformer.resblocks[0].attn.num_heads == 4
    assert not any('projection' in name for name in encoder.state_dict())
