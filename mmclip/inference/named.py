"""Which checkpoint and config a model's name stands for.

A name is a work directory, a file, a name of ``mmclip models`` or the
beginning of one, ``mmclip://MODEL[/TAG]``, or None for the best that knows
photographs and lies on this machine.
"""

from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from mmclip import zoo
from mmclip.clip.missing import missing_clip
from mmclip.clip.places import cache_dir
from mmclip.clip.scheme import PACKAGED, PREFIX

SUFFIXES = ('.pth', '.pt', '.safetensors', '.bin', '.ckpt')
DETECTORS = tuple(f'glip-{kind}' for kind in 'tlcba')  # the first that is here
CLIPS = (  # for dense CLIP, the first that is here
    ('ViT-B-16-quickgelu', 'openai'),
    ('ViT-L-14-quickgelu', 'openai'),
    ('ViT-B-16', 'laion2b_s34b_b88k'),
    ('ViT-B-16', 'datacomp_xl_s13b_b90k'),
    ('ViT-B-32-quickgelu', 'openai'),
    ('RN101-quickgelu', 'openai'),
    ('RN50-quickgelu', 'openai'),
)
PACKAGED_CONFIGS = {
    'groupvit-shapes': 'groupvit_test_shapes',
    'shapes-clip': 'clip-dense_shapes-clip_shapes',
}


class Source(NamedTuple):
    """Where a model is built from.

    Attributes:
        checkpoint: A file; None where the config alone makes the model.
        config: A path, a name, or a config; None for that in the file.
    """

    checkpoint: str | None
    config: str | Path | Config | None


def source_of(model, config=None, task: str = 'detection') -> Source:
    """Return what to build for ``model``.

    Args:
        model: As this module says.
        config: Its config, where the checkpoint does not hold it.
        task: 'detection' or 'segmentation': of which the best is, if
            ``model`` is None.

    Raises:
        FileNotFoundError: There is no such file, or nothing is at hand.
        ConnectionError: A name's weights are neither here nor to be fetched.
        ValueError: The name is unknown.
    """
    if model is None:
        return best_at_hand(task)
    text = str(model)
    if text.startswith(PREFIX):
        found = packaged(text.removeprefix(PREFIX))
    elif is_file_name(text):
        found = Source(find_checkpoint(text), None)
    else:
        found = by_name(text)
    return found if config is None else found._replace(config=config)


def is_file_name(text: str) -> bool:
    """Tell a file or folder, there or not, from a model's name."""
    path = Path(text)
    return path.exists() or path.suffix in SUFFIXES or len(path.parts) > 1


def find_checkpoint(model: str) -> str:
    """Return the checkpoint of a work directory, or the file itself.

    Raises:
        FileNotFoundError: There is none.
    """
    path = Path(model)
    if path.is_dir():
        last = path / 'last_checkpoint'
        if not last.is_file():
            raise FileNotFoundError(
                f'{path} holds no last_checkpoint: train into it first '
                f'(--work-dir {path}) or name the checkpoint itself'
            )
        saved = Path(last.read_text().strip())
        # a work directory may have been moved since
        path = saved if saved.is_file() else path / saved.name
    if not path.is_file():
        raise FileNotFoundError(
            f'there is no checkpoint {path}: name a work directory of '
            '`mmclip train`, a .pth file, or a model of `mmclip models`'
        )
    return str(path)


def last_change(model) -> int | None:
    """Return when a work directory's or file's checkpoint last changed.

    Whoever keeps a model builds it anew once this is another.
    """
    path = Path(str(model))
    if path.is_dir():
        path = path / 'last_checkpoint'
    return path.stat().st_mtime_ns if path.is_file() else None


def by_name(name: str) -> Source:
    """Return the source of a name of ``mmclip models``.

    A name says that fetching is wanted.

    Raises:
        ConnectionError: It is not here and cannot be fetched.
        ValueError: The name is unknown, or has no published weights.
    """
    model = zoo.find_model(name)
    if model.name in PACKAGED_CONFIGS.values():
        (key,) = (k for k, v in PACKAGED_CONFIGS.items() if v == model.name)
        return packaged(key)
    return Source(str(zoo.fetch_model(model)), model.config)


def packaged(name: str) -> Source:
    """Return the source of what stands behind ``mmclip://``.

    Raises:
        ValueError: It is not packaged, and no CLIP of open_clip's with a tag.
    """
    if name in PACKAGED_CONFIGS:
        whole = None if name == 'shapes-clip' else str(PACKAGED[name])
        return Source(whole, PACKAGED_CONFIGS[name])
    clip, _, tag = name.partition('/')
    if not tag:
        raise ValueError(
            f'{PREFIX}{name} is not packaged: {", ".join(PACKAGED_CONFIGS)} '
            f'are; a CLIP of open_clip needs the tag of its weights, such as '
            f'{PREFIX}ViT-B-16-quickgelu/openai'
        )
    return Source(None, dense_clip(clip, tag))


def best_at_hand(task: str) -> Source:
    """Return the best model on this machine that knows photographs.

    Raises:
        FileNotFoundError: There is none; the message has the file, its place
            and the command.
    """
    return best_detector() if task == 'detection' else best_segmentor()


def best_detector() -> Source:
    """Return a published GLIP that lies on this machine.

    Raises:
        FileNotFoundError: There is none.
    """
    models = [zoo.find_model(name) for name in DETECTORS]
    for model in models:
        if model.checkpoint() is not None:
            return Source(str(model.checkpoint()), model.config)
    first = models[0]
    raise FileNotFoundError(
        'no detector that knows photographs is on this machine. Have GLIP-T '
        "fetched with `mmclip models fetch glip-t`, or put OpenMMLab's file "
        f"{first.file_name} at '{first.place}' or into ./checkpoints (source: "
        f'{first.weights}). Or name your own with model= (--model): a work '
        'directory or a checkpoint; models of the shapes world answer for '
        'drawn shapes only, and only if named'
    )


def best_segmentor() -> Source:
    """Return a CLIP that lies on this machine, to be read densely.

    Raises:
        FileNotFoundError: There is none.
    """
    from mmclip.clip.weights import weight_file

    for clip, tag in CLIPS:
        if not list(missing_clip(clip, tag)):
            return Source(None, dense_clip(clip, tag))
    place = cache_dir('weights') / weight_file(*CLIPS[0]).files[0]
    named = f'{PREFIX}{"/".join(CLIPS[0])}'
    raise FileNotFoundError(
        'no segmentor that knows photographs is on this machine. Put the '
        f"weights of CLIP ViT-B/16 at '{place}' (.pt where it is a .pt file), "
        f"or have them fetched: model='{named}' (--model {named}). Or name "
        'your own: a work directory or a checkpoint; models of the shapes '
        'world answer for drawn shapes only, and only if named'
    )


def dense_clip(clip: str, tag: str) -> Config:
    """Return a config that segments with a CLIP as it is (SCLIP, MaskCLIP).

    Args:
        clip: open_clip's name of the model.
        tag: Of its weights.

    Raises:
        ValueError: open_clip knows no such model or weights.
    """
    from mmclip.clip.image import CLIP_MEAN, CLIP_STD
    from mmclip.clip.weights import is_path, model_config, weight_file

    name, settings = model_config(clip)
    if not is_path(tag):
        weight_file(name, tag)  # raises for an unknown tag
    vision, weights = settings['vision_cfg'], dict(model=name, pretrained=tag)
    vit = isinstance(vision.get('layers', 12), int)
    side = 2 * vision.get('image_size', 224)
    patch = vision.get('patch_size') if vit else None
    model = dict(
        type='mmclip.LSeg',
        data_preprocessor=dict(
            type='mmseg.SegDataPreProcessor',
            bgr_to_rgb=True,
            mean=[255 * v for v in CLIP_MEAN],
            std=[255 * v for v in CLIP_STD],
            size_divisor=patch or 32,
        ),
        backbone=dict(
            type='mmclip.DenseCLIPEncoder',
            attention='self' if vit else 'values',
            **weights,
        ),
        neck=None,
        decode_head=dict(
            type='mmclip.CLIPDenseHead',
            logit_scale=100,
            vocabulary=dict(
                type='mmclip.Vocabulary',
                prompts='imagenet',
                embed_dims=settings['embed_dim'],
                text_encoder=dict(type='mmclip.CLIPTextEncoder', **weights),
            ),
        ),
        test_cfg=dict(mode='whole'),
    )
    pipeline = [
        dict(type='mmseg.Resize', scale=(10 * side, side), keep_ratio=True),
        dict(type='mmseg.PackSegInputs'),
    ]
    return Config(
        dict(
            default_scope='mmseg',
            model=model,
            test_dataloader=dict(dataset=dict(pipeline=pipeline)),
        )
    )
