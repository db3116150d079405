"""Recognise the text tower that LSeg's checkpoints carry, and check it.

K names, D embedding width.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from mmclip.lseg.layout import TEXT_TOWER

# open_clip's names of OpenAI's models with text towers that LSeg used.
CANDIDATES = (
    'ViT-B-32-quickgelu',
    'ViT-B-16-quickgelu',
    'RN50x4-quickgelu',
    'RN50x16-quickgelu',
)
TEXT_PARTS = (
    'token_embedding',
    'positional_embedding',
    'transformer.',
    'ln_final',
    'text_projection',
)


def embedded_tower(released: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the CLIP that a checkpoint carries, in CLIP's own names."""
    extra = ('input_resolution', 'context_length', 'vocab_size')
    return {
        k.removeprefix(TEXT_TOWER): v
        for k, v in released.items()
        if k.startswith(TEXT_TOWER) and not k.endswith(extra)
    }


def recognise(clip: Mapping[str, Tensor]) -> str | None:
    """Return open_clip's name of a CLIP of these shapes, None if unknown."""
    from open_clip import get_model_config

    for name in CANDIDATES:
        config = get_model_config(name)
        vision, text = config['vision_cfg'], config['text_cfg']
        patch = vision['patch_size']
        first = (vision['width'], 3, patch, patch)
        if patch is None:  # a ResNet's stem
            first = (vision['width'] // 2, 3, 3, 3)
        wanted = {
            'visual.conv1.weight': first,
            'token_embedding.weight': (text['vocab_size'], text['width']),
            'positional_embedding': (text['context_length'], text['width']),
            'text_projection': (text['width'], config['embed_dim']),
        }
        if all(
            k in clip and tuple(clip[k].shape) == size
            for k, size in wanted.items()
        ):
            return name
    return None


def text_encoder(clip: Mapping[str, Tensor]) -> nn.Module:
    """Return our text encoder with the weights of an embedded CLIP.

    Raises:
        ValueError: Names or shapes are not those of a CLIP's text side.
    """
    from open_clip.transformer import QuickGELU, TextTransformer

    from mmclip.clip.text import CLIPTextEncoder

    state = {k: v.float() for k, v in clip.items() if k.startswith(TEXT_PARTS)}
    try:
        count, width = state['token_embedding.weight'].shape
        tower = TextTransformer(
            context_length=len(state['positional_embedding']),
            vocab_size=count,
            width=width,
            heads=width // 64,  # in all of OpenAI's
            layers=sum(k.endswith('.ln_1.bias') for k in state),
            output_dim=state['text_projection'].shape[1],
            act_layer=QuickGELU,
        )
        tower.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise ValueError(
            'the embedded text tower is not in the layout of CLIP: '
            f'{str(error)[:200]}'
        ) from error
    return CLIPTextEncoder(tower)


def largest_difference(
    clip: Mapping[str, Tensor], other: Mapping[str, Tensor]
) -> tuple[float, str]:
    """Compare the text sides of two CLIPs.

    Returns:
        The largest difference of any weight, at half precision, and its name.

    Raises:
        ValueError: They have no text weights in common.
    """
    shared = [k for k in clip if k.startswith(TEXT_PARTS) and k in other]
    if not shared:
        raise ValueError(
            'the file to compare with has none of the text weights: give a '
            'CLIP in the layout of OpenAI or open_clip'
        )
    each = {
        k: (clip[k].half().float() - other[k].half().float()).abs().max()
        for k in shared
    }
    worst = max(each, key=each.get)
    return float(each[worst]), worst
