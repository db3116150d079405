"""Names and shapes of GroupViT's weights in each published layout.

Ours is the authors': ``img_encoder.layers.0.blocks.0.attn.qkv.weight``.
Hugging Face's splits queries, keys and values, and writes the projectors'
first and last layers as matrices.

C width of the attention.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

PREFIXES = (  # ours, Hugging Face's; the first that fits counts
    ('img_encoder.pos_embed', 'vision_model.embeddings.position_embeddings'),
    (
        'img_encoder.patch_embed.proj.',
        'vision_model.embeddings.patch_embeddings.projection.',
    ),
    ('img_encoder.patch_embed.norm.', 'vision_model.embeddings.layernorm.'),
    ('img_encoder.layers.', 'vision_model.encoder.stages.'),
    ('img_encoder.norm.', 'vision_model.layernorm.'),
    (
        'text_encoder.token_embedding.',
        'text_model.embeddings.token_embedding.',
    ),
    (
        'text_encoder.positional_embedding',
        'text_model.embeddings.position_embedding.weight',
    ),
    ('text_encoder.transformer.resblocks.', 'text_model.encoder.layers.'),
    ('text_encoder.ln_final.', 'text_model.final_layer_norm.'),
    ('img_projector.linear_hidden.', 'visual_projection.'),
    ('img_projector.linear_out.', 'visual_projection.3.'),
    ('text_projector.linear_hidden.', 'text_projection.'),
    ('text_projector.linear_out.', 'text_projection.3.'),
)
INSIDE = (  # within a block: what ours is called there
    (r'(stages\.\d+)\.blocks\.', r'\1.layers.'),
    (r'(stages\.\d+\.layers\.\d+)\.attn\.proj\.', r'\1.self_attn.out_proj.'),
    (r'(stages\.\d+\.layers\.\d+)\.norm(\d)\.', r'\1.layer_norm\2.'),
    (r'pre_assign_attn\.attn\.proj\.', 'pre_assign_attn.attn.out_proj.'),
    (
        r'(text_model\.encoder\.layers\.\d+)\.attn\.out_proj\.',
        r'\1.self_attn.out_proj.',
    ),
    (r'(text_model\.encoder\.layers\.\d+)\.ln_(\d)\.', r'\1.layer_norm\2.'),
    (r'(text_model\.encoder\.layers\.\d+)\.mlp\.c_fc\.', r'\1.mlp.fc1.'),
    (r'(text_model\.encoder\.layers\.\d+)\.mlp\.c_proj\.', r'\1.mlp.fc2.'),
)
BACK = (  # within a block of Hugging Face's: what it is called in ours
    (r'^(img_encoder\.layers\.\d+)\.layers\.', r'\1.blocks.'),
    (r'^(img_.*)\.self_attn\.[qkv]_proj\.', r'\1.attn.qkv.'),
    (r'^(img_.*)\.self_attn\.out_proj\.', r'\1.attn.proj.'),
    (r'^(img_.*)\.layer_norm(\d)\.', r'\1.norm\2.'),
    (r'pre_assign_attn\.attn\.out_proj\.', 'pre_assign_attn.attn.proj.'),
    (r'^(text_.*)\.self_attn\.[qkv]_proj\.', r'\1.attn.in_proj_'),
    (r'^(text_.*)\.self_attn\.out_proj\.', r'\1.attn.out_proj.'),
    (r'^(text_.*)\.layer_norm(\d)\.', r'\1.ln_\2.'),
    (r'^(text_encoder\.t.*)\.mlp\.fc1\.', r'\1.mlp.c_fc.'),
    (r'^(text_encoder\.t.*)\.mlp\.fc2\.', r'\1.mlp.c_proj.'),
)
FUSED = re.compile(r'(.*)\.attn\.(?:qkv\.|in_proj_)(weight|bias)')
MATRIX = re.compile(r'(img|text)_projector\.linear_(hidden\.0|out)\.weight')
DERIVED = re.compile(r'text_model\.embeddings\.position_ids|.*\.attn_mask')


@dataclass(frozen=True)
class Place:
    """Where one of our entries stands in Hugging Face's layout.

    Attributes:
        key: Our name.
        theirs: Their names; three where ours holds q, k and v in one.
        matrix: Whether theirs lacks our last axis, of length 1.
    """

    key: str
    theirs: tuple[str, ...]
    matrix: bool = False

    def join(self, arrays: list[np.ndarray]) -> np.ndarray:
        """Return our array, of theirs."""
        ours = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
        return ours[..., None] if self.matrix else ours

    def split(self, array: np.ndarray) -> list[np.ndarray]:
        """Return their arrays, of ours."""
        if self.matrix:
            array = array[..., 0]
        if len(self.theirs) == 1:
            return [array]
        return np.split(array, len(self.theirs))

    @property
    def moved(self) -> str:
        """Say what happens to the values, or nothing."""
        if len(self.theirs) > 1:
            return 'q, k, v in one'
        return 'convolution of size 1 as a matrix' if self.matrix else ''


def place_of(key: str) -> Place | None:
    """Return where our entry ``key`` stands in Hugging Face's layout.

    ``None`` for the scale of the loss over prompts, which it does not have,
    and for names that are not ours.
    """
    if key == 'logit_scale':
        return Place(key, (key,))
    for ours, theirs in PREFIXES:
        if key.startswith(ours):
            name = theirs + key.removeprefix(ours)
            break
    else:
        return None
    for pattern, replacement in INSIDE:
        name = re.sub(pattern, replacement, name)
    fused = FUSED.fullmatch(name)
    if fused:
        block, kind = fused.groups()
        parts = tuple(f'{block}.self_attn.{x}_proj.{kind}' for x in 'qkv')
        return Place(key, parts)
    return Place(key, (name,), matrix=bool(MATRIX.fullmatch(key)))


def our_name(name: str) -> str | None:
    """Return our entry that one of Hugging Face's names belongs to."""
    if name == 'logit_scale':
        return name
    # the longest first: visual_projection.3. is within visual_projection.
    for ours, theirs in sorted(PREFIXES, key=lambda pair: -len(pair[1])):
        if name.startswith(theirs):
            name = ours + name.removeprefix(theirs)
            break
    else:
        return None
    for pattern, replacement in BACK:
        name = re.sub(pattern, replacement, name)
    return name


def layout_of(names: Iterable[str]) -> str:
    """Return ``'authors'`` or ``'hf'``.

    Raises:
        ValueError: The names are neither's.
    """
    names = list(names)
    if any(name.startswith('img_encoder.layers.') for name in names):
        return 'authors'
    if any(name.startswith('vision_model.encoder.stages.') for name in names):
        return 'hf'
    raise ValueError(
        'this is no GroupViT: no name begins with img_encoder.layers. (the '
        "authors' layout) or vision_model.encoder.stages. (Hugging Face's); "
        f'the first names are {names[:3]}'
    )


def settings_of(shapes: Mapping[str, tuple[int, ...]]) -> dict:
    """Read the network's sizes off the shapes of our layout.

    Heads cannot be read off; one for each 64 of width is assumed, as in the
    published models.

    Returns:
        Arguments of
        :class:`mmclip.groupvit.pretrainer.GroupViTPretrainer`.

    Raises:
        ValueError: An entry is missing that a size is read off.
    """
    try:
        return _settings_of(shapes)
    except KeyError as error:
        raise ValueError(
            f'the checkpoint has no {error}, so the sizes of its network are '
            'unknown: it is cut short or no GroupViT'
        ) from None


def _settings_of(shapes: Mapping) -> dict:
    found = [re.match(r'img_encoder\.layers\.(\d+)\.', key) for key in shapes]
    stages = range(1 + max((int(m[1]) for m in found if m), default=-1))
    image, text = 'img_encoder.layers', 'text_encoder'
    dim, channels, patch, _ = shapes['img_encoder.patch_embed.proj.weight']
    width = shapes[f'{text}.positional_embedding'][1]
    grid = round(shapes['img_encoder.pos_embed'][1] ** 0.5)

    def size(key, axis):
        return shapes[key][axis] if key in shapes else 0

    merge = 'downsample.mlp_inter.fc2.weight'
    outputs = [size(f'{image}.{i}.{merge}', 0) for i in stages]
    hidden = shapes[f'{image}.0.blocks.0.mlp.fc1.weight'][0]
    return dict(
        img_encoder=dict(
            img_size=grid * patch,
            patch_size=patch,
            in_channels=channels,
            embed_dims=dim,
            depths=[count(shapes, f'{image}.{i}.blocks') for i in stages],
            num_heads=max(dim // 64, 1),
            num_group_tokens=[
                size(f'{image}.{i}.group_token', 1) for i in stages
            ],
            num_output_groups=outputs,
            mlp_ratio=hidden / dim,
        ),
        text_encoder=dict(
            context_length=shapes[f'{text}.positional_embedding'][0],
            vocab_size=shapes[f'{text}.token_embedding.weight'][0],
            embed_dims=width,
            layers=count(shapes, f'{text}.transformer.resblocks'),
            num_heads=max(width // 64, 1),
        ),
        hidden_channels=shapes['img_projector.linear_out.weight'][1],
        out_channels=shapes['img_projector.linear_out.weight'][0],
        multi_label='multi_label_logit_scale' in shapes,
    )


def count(names: Iterable[str], prefix: str) -> int:
    """Return how many numbered modules stand under ``prefix``."""
    pattern = re.compile(rf'{re.escape(prefix)}\.(\d+)\.')
    return len({m[1] for m in map(pattern.match, names) if m})
