"""Turn LSeg's released checkpoints into files that mmengine loads.

The vocabulary's text embeddings are made with the text tower that a release
carries, so nothing is downloaded.
"""

import copy
from collections.abc import Mapping
from itertools import chain

from torch import Tensor

from mmclip.clip.conversion import Report, known_target, write_checkpoint
from mmclip.clip.prompts import prompt_set
from mmclip.clip.vocabulary import encode_names
from mmclip.lseg import text_tower
from mmclip.lseg.layout import (
    convert,
    is_ours_alone,
    network_state,
)


def recipe_for(state: Mapping[str, Tensor]) -> str:
    """Return the name of the config that a release fits.

    Raises:
        ValueError: There is none, or it is no release.
    """
    released = network_state(state)
    if 'pretrained.layer1.0.weight' in released:
        return 'lseg_r101-dpt_1xb20-4e_pascal-5i-fold0'
    kernel = released.get('pretrained.model.patch_embed.proj.weight')
    size = None if kernel is None else (kernel.shape[0], kernel.shape[-1])
    known = {
        (1024, 16): 'lseg_vit-l16-dpt_8xb2-240e_ade20k-480x480',
        (768, 32): 'lseg_vit-b32-dpt_8xb2-240e_ade20k-480x480',
    }
    if size not in known:
        raise ValueError(
            f'no config fits a backbone of (width, patch) {size}: name one '
            'with --config'
        )
    return known[size]


def convert_release(
    state: Mapping[str, Tensor], target, cfg, clip=None
) -> Report:
    """Convert a released checkpoint into a file that mmengine loads.

    The names' text embeddings come from the text tower that the checkpoint
    carries. Nothing is written where the two sides do not fit.

    Args:
        state: See :func:`mmclip.lseg.checkpoint.read_lightning`.
        target: ``.safetensors`` or ``.pth``.
        cfg: Config of the model; see :func:`recipe_for`. Its vocabulary
            says which names are encoded.
        clip: State dict of a CLIP to compare the text tower with.

    Raises:
        ValueError: The target's name ends otherwise, or the source is no
            release.
    """
    target = known_target(target)
    released = network_state(state)
    model = build_model(cfg, released)
    converted, report = convert(released, model.state_dict())
    if not report.complete:
        return report
    names = class_names(cfg)
    report.text = fill_texts(model, released, names, clip)
    own = {k: v for k, v in model.state_dict().items() if is_ours_alone(k)}
    meta = dict(cfg=cfg.pretty_text, dataset_meta=dict(classes=names))
    write_checkpoint(target, {**own, **converted}, meta)
    return report


def build_model(cfg, released: Mapping[str, Tensor]):
    """Build the model of a config without encoding or downloading.

    The head gets a spatial block where the release has one; the release does
    not say which kind, so the config must.
    """
    from mmengine.registry import MODELS, DefaultScope

    model = copy.deepcopy(cfg.model)
    head = model['decode_head']
    has_block = any('head_block' in name for name in released)
    if has_block and not head.get('spatial_block'):
        raise ValueError(
            'the release has a spatial block and the config none: set '
            "model.decode_head.spatial_block=dict(kind='bottleneck', depth=2, "
            "activation='lrelu') as it was trained"
        )
    head['vocabulary'].pop('names', None)
    head['vocabulary'].pop('text_encoder', None)
    head['vocabulary']['cache'] = False
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        return MODELS.build(model)


def class_names(cfg) -> list[str]:
    """Return the names that a config's model is tested on."""
    from mmengine.registry import DATASETS, DefaultScope

    names = cfg.model.decode_head.vocabulary.get('names')
    if names:
        return list(names)
    dataset = dict(cfg.test_dataloader.dataset, lazy_init=True, pipeline=[])
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        return list(DATASETS.build(dataset).metainfo['classes'])


def fill_texts(model, released, names: list[str], clip) -> list[str]:
    """Encode the names with the checkpoint's own text tower; report on it.

    Raises:
        ValueError: There is neither a text tower nor another CLIP.
    """
    embedded = text_tower.embedded_tower(released)
    if not embedded and clip is None:
        raise ValueError(
            'the checkpoint carries no text tower (clip_pretrained.*): give '
            'the CLIP that it was trained with by --clip FILE'
        )
    lines = []
    if embedded:
        kind = text_tower.recognise(embedded) or 'of an unknown CLIP'
        lines.append(f'text tower: {kind}, {len(embedded)} tensors')
    if embedded and clip is not None:
        off, where = text_tower.largest_difference(embedded, clip)
        lines.append(
            f'text tower against --clip: largest difference {off:.2e} '
            f'({where})'
        )
        if off > 1e-2:
            lines.append('warning: it is another text tower than that file')
    encoder = text_tower.text_encoder(embedded or clip)
    write_sentences = prompt_set(
        model.decode_head.vocabulary.prompts
    ).sentences
    sentences = [
        list(chain(*map(write_sentences, phrases)))
        for phrases in model.decode_head.spoken(names).values()
    ]
    model.set_vocabulary(encode_names(encoder, sentences), names)
    lines.append(f'{len(names)} names encoded')
    return lines
