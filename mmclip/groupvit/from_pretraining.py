"""Turn the config of a pretraining into that of a segmentor.

A pretrainer's checkpoint knows images and captions; who asks it for names of
pixels needs the same towers in another model, and a test pipeline.
"""

from collections.abc import Mapping

from mmengine.config import Config

TOWERS = (
    'img_encoder',
    'text_encoder',
    'hidden_channels',
    'out_channels',
    'multi_label',
)
CLIP_TOKENS = 49408
BACKGROUNDS = dict(
    image=dict(kind='threshold', threshold=0.95),  # as published for VOC
    segment=dict(kind='cosine', threshold=0.75),
)  # by what prompts were matched with
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def is_pretrainer(model: Mapping) -> bool:
    """Tell whether a model's config is that of a pretraining."""
    return str(model.get('type')).endswith('GroupViTPretrainer')


def segmentor_config(pretrainer: Mapping, **options) -> dict:
    """Return the config of a segmentor with a pretrainer's towers.

    Args:
        pretrainer: Config of a ``GroupViTPretrainer``.
        options: Further arguments of the segmentor.
    """
    towers = {key: pretrainer[key] for key in TOWERS if key in pretrainer}
    text = towers.get('text_encoder') or {}
    own = pretrainer.get('data_preprocessor') or {}
    colours = {k: own[k] for k in ('mean', 'std') if own.get(k)} or IMAGENET
    small = text.get('vocab_size', CLIP_TOKENS) < CLIP_TOKENS
    model = dict(
        type='mmclip.GroupViTSegmentor',
        tokenizer='shapes' if small else 'clip',
        data_preprocessor=dict(
            type='mmseg.SegDataPreProcessor', bgr_to_rgb=True, **colours
        ),
    )
    return model | towers | options


def pipeline_for_use(pretrainer: Mapping) -> list[dict]:
    """Return the steps from a loaded image on.

    The shorter side becomes twice that of training, as the published models
    are used (448), which keeps small things apart.
    """
    image = pretrainer.get('img_encoder') or {}
    side = 2 * image.get('img_size', 224)
    return [
        dict(type='mmseg.Resize', scale=(10 * side, side), keep_ratio=True),
        dict(type='mmseg.PackSegInputs'),
    ]


def adapted(cfg: Config) -> Config:
    """Return a config that segments; others than pretrainings as they are."""
    model = cfg.get('model') or {}
    if not is_pretrainer(model):
        return cfg
    dataset = dict(pipeline=pipeline_for_use(model))
    return Config(
        dict(
            default_scope='mmseg',
            model=segmentor_config(
                model,
                background=BACKGROUNDS[model.get('prompt_match', 'image')],
            ),
            test_dataloader=dict(dataset=dataset),
        )
    )
