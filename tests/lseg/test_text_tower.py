import pytest
import torch

from mmclip.clip.text import CLIPTextEncoder
from mmclip.lseg.text_tower import (
    embedded_tower,
    largest_difference,
    recognise,
    text_encoder,
)

WIDTH, VOCAB = 64, 49408


@pytest.fixture(scope='module')
def clip():
    """A CLIP of OpenAI's kind, one head and two layers."""
    from open_clip.model import CLIP

    torch.manual_seed(0)
    return CLIP(
        embed_dim=16,
        quick_gelu=True,
        vision_cfg=dict(
            image_size=32, patch_size=16, width=64, layers=1, head_width=64
        ),
        text_cfg=dict(
            context_length=77,
            vocab_size=VOCAB,
            width=WIDTH,
            heads=1,
            layers=2,
        ),
    ).eval()


def test_the_embedded_tower_encodes_as_the_clip_it_was(clip):
    released = {
        f'clip_pretrained.{k}': v for k, v in clip.state_dict().items()
    }
    released['clip_pretrained.context_length'] = torch.tensor(77)
    released['scratch.head1.weight'] = torch.zeros(1)
    state = embedded_tower(released)
    assert state.keys() == clip.state_dict().keys()
    words = ['sky', 'a dog on a hill']
    torch.testing.assert_close(
        text_encoder(state).encode(words), CLIPTextEncoder(clip).encode(words)
    )


def test_it_is_compared_weight_by_weight_at_half_precision(clip):
    state = clip.state_dict()
    assert (
        largest_difference(state, {k: v.half() for k, v in state.items()})[0]
        == 0
    )
    other = dict(state, text_projection=state['text_projection'] + 0.5)
    off, where = largest_difference(state, other)
    assert where == 'text_projection'
    assert off == pytest.approx(0.5, abs=1e-3)
    with pytest.raises(ValueError, match='none of the text weights'):
        largest_difference(state, {'visual.conv1.weight': torch.zeros(1)})


def empty(*size):
    return torch.zeros(size, device='meta')


@pytest.mark.parametrize(
    ('name', 'width', 'first'),
    [
        ('ViT-B-32-quickgelu', 512, (768, 3, 32, 32)),
        ('ViT-B-16-quickgelu', 512, (768, 3, 16, 16)),
        ('RN50x16-quickgelu', 768, (48, 3, 3, 3)),
    ],
)
def test_openais_models_are_recognised_by_their_shapes(name, width, first):
    state = {
        'visual.conv1.weight': empty(*first),
        'token_embedding.weight': empty(VOCAB, width),
        'positional_embedding': empty(77, width),
        'text_projection': empty(width, width),
    }
    assert recognise(state) == name
    state['positional_embedding'] = empty(76, width)
    assert recognise(state) is None


def test_another_layout_is_refused(clip):
    state = dict(clip.state_dict())
    del state['ln_final.weight']
    with pytest.raises(ValueError, match='not in the layout of CLIP'):
        text_encoder(state)
