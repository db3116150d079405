import pytest
import torch
import torch.nn.functional as F

from mmclip.clip.text import CausalTextTower, CLIPTextEncoder
from mmclip.registry import MODELS

SENTENCES = ['a cat', 'this is a photo of a very small dog', 'x', 'a cat']


def test_short_ids_give_what_open_clip_gives_at_full_length(tiny_clip):
    clip = tiny_clip()
    encoder = CLIPTextEncoder(clip)
    full = clip.encode_text(encoder.tokenizer(SENTENCES), normalize=True)
    for batch_size in (1, 3, 256):
        ours = encoder.encode(SENTENCES, batch_size=batch_size)
        torch.testing.assert_close(ours, full, atol=1e-5, rtol=0)


def test_every_width_of_padding_gives_the_same(tiny_clip):
    encoder = CLIPTextEncoder(tiny_clip())
    ids = encoder.tokenizer(['a cat'])
    wide = F.normalize(encoder.tower(ids), dim=1)
    torch.testing.assert_close(encoder(ids), wide, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    'text',
    [
        dict(pool_type='last'),
        dict(embed_cls=True),
        dict(no_causal_mask=True),
        dict(pool_type='first', no_causal_mask=True),
    ],
)
def test_a_tower_that_reads_padding_gets_the_full_context(
    text, tiny_clip, tiny_config
):
    config = tiny_config()
    config = dict(
        config, custom_text=True, text_cfg={**config['text_cfg'], **text}
    )
    clip = tiny_clip(**config)
    encoder = CLIPTextEncoder(clip)
    assert not isinstance(encoder.tower, CausalTextTower)
    full = clip.encode_text(encoder.tokenizer(SENTENCES), normalize=True)
    torch.testing.assert_close(encoder.encode(SENTENCES), full)


def test_a_custom_text_clip_is_cut_too(tiny_clip, tiny_config):
    config = dict(tiny_config(), custom_text=True)
    encoder = CLIPTextEncoder(tiny_clip(**config))
    assert isinstance(encoder.tower, CausalTextTower)
    assert encoder.encode(['a cat']).shape == (1, 24)


def test_embeddings_have_length_one_and_follow_the_order(encoder):
    embeddings = encoder.encode(SENTENCES)
    assert embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(4))
    assert torch.equal(embeddings[0], embeddings[3])
    alone = encoder.encode(SENTENCES[1:2])
    torch.testing.assert_close(alone[0], embeddings[1])


def test_frozen_stays_in_eval_without_gradient(tiny_clip):
    encoder = CLIPTextEncoder(tiny_clip()).train()
    assert not encoder.training
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not encoder.encode(['a cat']).requires_grad


def test_trainable_passes_gradient_to_every_parameter_it_uses(tiny_clip):
    encoder = CLIPTextEncoder(tiny_clip(), frozen=False).train()
    assert encoder.training
    encoder.encode(['a cat', 'a dog'])[0, 0].backward()
    for name, parameter in encoder.tower.named_parameters():
        assert parameter.grad is not None, name


def test_a_config_builds_it_through_the_registry(tiny_config):
    encoder = MODELS.build(
        dict(type='mmclip.CLIPTextEncoder', model=tiny_config())
    )
    assert encoder.encode(['a cat']).shape == (1, 24)


def test_the_fingerprint_changes_with_one_weight(encoder, tiny_clip):
    other = CLIPTextEncoder(tiny_clip())
    assert other.fingerprint() == encoder.fingerprint()
    with torch.no_grad():
        other.tower.ln_final.bias[3] += 1e-6
    assert other.fingerprint() != encoder.fingerprint()


@pytest.mark.parametrize('nothing', [[], 'a cat'])
def test_no_list_of_sentences_is_refused(encoder, nothing):
    with pytest.raises(ValueError, match='list of at least one sentence'):
        encoder.encode(nothing)


def test_a_too_long_sentence_is_refused_unless_cut(tiny_clip):
    long = 'cat ' * 100
    with pytest.raises(ValueError, match='102 tokens'):
        CLIPTextEncoder(tiny_clip()).encode([long])
    cut = CLIPTextEncoder(tiny_clip(), truncate=True)
    assert cut.encode([long]).shape == (1, 24)


def test_clips_tokenizer_does_not_fit_a_small_table(tiny_clip, tiny_config):
    text = {**tiny_config()['text_cfg'], 'vocab_size': 50}
    small = tiny_clip(text_cfg=text)
    with pytest.raises(ValueError, match='knows 50 tokens.*reach 49407'):
        CLIPTextEncoder(small)
    own = CLIPTextEncoder(
        small, tokenizer=lambda texts: torch.tensor([[1, 49, 0]] * len(texts))
    )
    assert own.encode(['x']).shape == (1, 24)
