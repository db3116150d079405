import pytest
import torch

from mmclip.clip.text import CLIPTextEncoder
from mmclip.glip.clip_text_tokens import CLIPTextTokens
from tests.glip.tiny import build, images, sample, tiny_glip, tiny_head


@pytest.fixture(scope='module')
def tokens():
    return CLIPTextTokens('shapes-clip').eval()


@torch.no_grad()
def test_the_end_token_is_what_clip_pools(tokens):
    texts = ['a red circle', 'a large blue square and a red circle']
    language = tokens(texts)
    ends = language['masks'].sum(dim=1) - 1
    pooled = language['hidden'][torch.arange(2), ends]
    pooled = pooled @ tokens.tower.text_projection
    wanted = CLIPTextEncoder('shapes-clip').encode(texts)
    torch.testing.assert_close(
        torch.nn.functional.normalize(pooled, dim=-1),
        wanted,
        rtol=1e-4,
        atol=1e-5,
    )


@torch.no_grad()
@pytest.mark.parametrize('causal', [True, False])
def test_a_caption_is_read_alike_alone_and_beside_a_longer_one(causal):
    model = CLIPTextTokens('shapes-clip', causal=causal).eval()
    alone = model(['a red circle'])['hidden'][0]
    both = model(['a red circle', 'a large blue square and a red circle'])
    torch.testing.assert_close(both['hidden'][0, : len(alone)], alone)
    assert (both['embedded'][0, len(alone) :] == 0).all()


@torch.no_grad()
def test_without_a_causal_mask_a_word_reads_those_behind_it():
    texts = ['a red circle', 'a red square']
    for causal, same in ((True, True), (False, False)):
        model = CLIPTextTokens('shapes-clip', causal=causal).eval()
        words = model(texts)['hidden'][:, 2]  # 'red'
        assert torch.allclose(*words, atol=1e-5) == same


def test_longer_captions_get_positions_in_between():
    model = CLIPTextTokens('shapes-clip', max_tokens=150)
    caption = ' '.join(['red'] * 140)
    assert model([caption])['hidden'].shape[1] == 142
    short = CLIPTextTokens('shapes-clip')
    with pytest.raises(ValueError, match='142 tokens'):
        short([caption])


def test_a_frozen_tower_learns_nothing():
    model = CLIPTextTokens('shapes-clip', frozen=True).train()
    assert not model.training
    assert not model(['a red circle'])['hidden'].requires_grad


def test_a_detector_trains_and_finds_with_it(tokens):
    head = tiny_head(
        language_dim=tokens.language_dim, text_layer=dict(heads=4)
    )
    config = tiny_glip(
        language_model=dict(type='mmclip.CLIPTextTokens', model='shapes-clip')
    )
    detector = build({**config, 'bbox_head': head})
    names = ['red circle', 'blue square']
    losses = detector.loss(images(), [sample(names, [1])])
    sum(losses.values()).backward()
    with torch.no_grad():
        (found,) = detector.eval().predict(images(), [sample(names)])
    assert set(found.pred_instances.label_names) <= set(names)
    assert len(found.pred_instances)
