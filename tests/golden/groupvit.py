"""Run GroupViT's golden cases through mmclip."""

import re

import numpy as np
import torch
from cases import CaseError, Measured, adapter, reference_state
from check import distance, tolerance
from torch.nn import functional as F

from mmclip.clip.similarity import cosine_logits
from mmclip.clip.text import CausalTextTower
from mmclip.clip.tokenizer import CLIPTokenizer
from mmclip.clip.towers import inputs_to, outputs_of
from mmclip.groupvit import GroupViTPretrainer
from mmclip.groupvit.head import GroupBackground
from mmclip.groupvit.segmentor import GroupViTSegmentor

LOST_PIXELS = 0.005  # the notes allow that share of labels to differ
GRAD_NORM = 2e-3


def towers_of(meta: dict) -> dict:
    """Return the arguments that the case's reference config asks for."""
    model = meta['config']['model']
    image, text = model['img_encoder'], model['text_encoder']
    if model.get('proj_num_layers', 2) != 2:
        raise CaseError('only projectors of two layers are known')
    encoder = dict(
        img_size=image['img_size'],
        patch_size=image.get('patch_size', 16),
        embed_dims=image['embed_dim'],
        depths=image['depths'],
        num_heads=image['num_heads'],
        num_group_tokens=image['num_group_tokens'],
        num_output_groups=image['num_output_groups'],
        drop_path_rate=image.get('drop_path_rate', 0.0),
    )
    reader = dict(
        context_length=text['context_length'],
        vocab_size=text['vocab_size'],
        embed_dims=text['width'],
        layers=text['layers'],
    )
    return dict(
        img_encoder=encoder,
        text_encoder=reader,
        out_channels=model['output_dim'],
        hidden_channels=hidden_width(meta),
        multi_label=any(
            name == 'multi_label_logit_scale' for name, _ in meta['state']
        ),
    )


def hidden_width(meta: dict) -> int:
    """Return the hidden width of the projectors."""
    for name, shape in meta['state']:
        if name.endswith('_projector.linear_hidden.0.weight'):
            return shape[0]
    raise CaseError('the case has no projector')


def fill_from(model: torch.nn.Module, meta: dict, part: str = '') -> None:
    """Load the case's weights; none may be left over.

    Args:
        model: The model.
        meta: The case's header.
        part: What the names begin with that may not be missing either.
    """
    state = {
        name: torch.from_numpy(np.asarray(value))
        for name, value in reference_state(meta).items()
    }
    missing, unused = model.load_state_dict(state, strict=False)
    lost = unused + [name for name in missing if name.startswith(part)]
    if lost:
        raise CaseError(f'not in both state dicts: {", ".join(lost[:3])}')


def thin(meta: dict, name: str, value) -> np.ndarray:
    """Take the rows and columns that the case keeps of a quantity."""
    strides = meta['config'].get('subsample', {}).get(name, ())
    return np.asarray(value)[tuple(slice(None, None, s) for s in strides)]


@adapter('groupvit/tokens')
def tokens(meta: dict, arrays: dict) -> dict:
    """Encode texts with CLIP's byte pairs."""
    config = meta['config']
    tokenizer = CLIPTokenizer(
        context_length=config['max_seq_len'], truncate=True
    )
    return {'out_tokens': tokenizer(config['texts']).numpy()}


@adapter('groupvit/text')
@torch.no_grad()
def text(meta: dict, arrays: dict) -> dict:
    """Run the text encoder and its projector."""
    settings = towers_of(meta)
    settings['img_encoder'] = dict(depths=[1], num_group_tokens=[0])
    settings['img_encoder'] |= dict(num_output_groups=[], embed_dims=6)
    model = GroupViTPretrainer(**settings).eval()
    fill_from(model, meta, 'text_')
    encoder = model.text_encoder
    ids = torch.from_numpy(arrays['in_tokens'])
    blocks = encoder.transformer.resblocks
    watched = [*blocks, encoder.ln_final]
    with outputs_of(watched) as seen:
        CausalTextTower.forward(encoder, ids)  # all positions, for the taps
    ours = {f'tap_block{i}': seen[i] for i in range(len(blocks))}
    ours |= dict(
        tap_ln_final=seen[-1],
        tap_eot=encoder(ids),
        out_text_x=model.encode_text(ids),
    )
    return {
        name: thin(meta, name, ours[name]) for name in arrays if name in ours
    }


@adapter('groupvit/image')
@torch.no_grad()
def image(meta: dict, arrays: dict) -> dict:
    """Run the image encoder and its projector, looking into every stage."""
    model = GroupViTPretrainer(**towers_of(meta)).eval()
    fill_from(model, meta)
    images = torch.from_numpy(arrays['in_image'])
    encoder = model.img_encoder
    entered, left = stage_taps(encoder)
    modules = list(left.values())
    with outputs_of(modules) as seen, ManyInputs(entered) as began:
        whole, groups, grouping = model.encode_image(images)
    ours = dict(zip(left, seen))
    ours = {
        name: value[0] if isinstance(value, tuple) else value
        for name, value in ours.items()
    }
    ours |= {name: kept[0] for name, kept in began.items()}
    for i, soft in enumerate(grouping.assignments):
        ours[f'tap_stage{i}_soft'] = soft[:, None]
        ours[f'tap_stage{i}_hard_index'] = soft.argmax(dim=1).byte()
    ours |= dict(
        tap_pos_embed=encoder.positions(grouping.grid),
        tap_feat=grouping.segments,
        tap_pooled=grouping.pooled,
        out_image_x=whole,
        out_image_feat=groups,
    )
    return {
        name: thin(meta, name, ours[name]) for name in arrays if name in ours
    }


def stage_taps(encoder) -> tuple[dict, dict]:
    """Return the modules whose inputs and outputs the taps are."""
    entered, left = {}, {}
    for i, stage in enumerate(encoder.layers):
        entered[f'tap_stage{i}_in'] = stage.blocks[0]
        left[f'tap_stage{i}_blocks'] = stage.blocks[-1]
        if stage.downsample is None:
            continue
        merge = stage.downsample
        left[f'tap_stage{i}_projected'] = merge.norm_post_tokens
        left[f'tap_stage{i}_pre_assign'] = merge.pre_assign_attn
        left[f'tap_stage{i}_out'] = merge
    return entered, left


class ManyInputs:
    """Collect the inputs of several modules by name."""

    def __init__(self, modules: dict) -> None:
        self.contexts = {k: inputs_to(m) for k, m in modules.items()}

    def __enter__(self) -> dict:
        return {k: c.__enter__() for k, c in self.contexts.items()}

    def __exit__(self, *error) -> None:
        for context in self.contexts.values():
            context.__exit__(*error)


@adapter('groupvit/train_loss')
def train_loss(meta: dict, arrays: dict) -> dict:
    """Compute both losses, with given noise and in evaluation."""
    model = GroupViTPretrainer(**towers_of(meta))
    fill_from(model, meta)
    images = torch.from_numpy(arrays['in_image'])
    ids = torch.from_numpy(arrays['in_tokens'])
    ours = {}
    with torch.no_grad():
        put_losses(ours, 'eval', model.eval().loss(images, ids))
    model.train()
    noise = [
        torch.from_numpy(arrays[f'in_gumbel_{i}'])[:, 0]
        for i in range(model.img_encoder.num_groupings)
    ]
    merges = [
        stage.downsample
        for stage in model.img_encoder.layers
        if stage.downsample is not None
    ]
    watched = [*merges, model.img_projector, model.text_projector]
    with outputs_of(watched) as seen:
        losses = model.loss(images, ids, noise)
    put_losses(ours, 'train', losses)
    for i, (_, soft) in enumerate(seen[: len(merges)]):
        ours[f'tap_train_hard_index_{i}'] = soft.argmax(dim=1).byte()
    features, texts = seen[-2:]
    ours |= dict(
        tap_train_image_x=features,
        tap_train_text_x=texts[:, 0],
        tap_train_text_multi_label_x=texts[:, 1:],
    )
    sum(losses.values()).backward()
    found = {
        name: thin(meta, name, value.detach())
        for name, value in ours.items()
        if name in arrays
    }
    if 'out_grad_norm' in arrays:
        norms = grad_norms(model, meta['config']['grad_names'])
        error = distance(norms, arrays['out_grad_norm'])
        found['out_grad_norm'] = Measured(error, GRAD_NORM)
        each = np.abs(norms / np.maximum(arrays['out_grad_norm'], 1e-8) - 1)
        loud = arrays['out_grad_norm'] > 1e-4 * arrays['out_grad_norm'].max()
        found['every_grad_norm'] = Measured(float(each[loud].max()), GRAD_NORM)
    without = meta['config'].get('no_grad_names', [])
    given = [n for n in without if model.get_parameter(n).grad is not None]
    found['parameters_without_gradient'] = Measured(float(len(given)), 0.0)
    return found


def put_losses(ours: dict, mode: str, losses: dict) -> None:
    """Store losses by the names that the case uses."""
    ours[f'out_{mode}_loss'] = losses['loss_contrastive']
    if 'loss_multi_label' in losses:
        ours[f'out_{mode}_multi_label_loss'] = losses['loss_multi_label']


def grad_norms(model, names) -> np.ndarray:
    """Return the norm of each parameter's gradient."""
    grads = [model.get_parameter(name).grad for name in names]
    return np.array([0.0 if g is None else g.norm().item() for g in grads])


@adapter('groupvit/rank_loss')
def rank_loss(meta: dict, arrays: dict) -> dict:
    """Compute the losses that each of several processes sees."""
    from groupvit_ranks import losses_of_ranks

    prefixes = {re.match(r'(rank\d+_)?', name)[0] for name in arrays}
    ranked = sorted(prefixes - {''}, key=lambda p: int(p[4:-1]))

    def whole(name):
        if name in arrays:
            return arrays[name]
        return np.concatenate([arrays[prefix + name] for prefix in ranked])

    features = dict(image=whole('in_image_x'), text=whole('in_text_x'))
    if any(name.endswith('in_text_multi_label_x') for name in arrays):
        features['prompts'] = whole('in_text_multi_label_x')
    config = meta['config']
    losses = losses_of_ranks(
        features, config['world_size'], config.get('overrides', {})
    )  # (W, 2)
    ours = {}
    names = ('out_loss', 'out_multi_label_loss')[: losses.shape[1]]
    for i, name in enumerate(names):
        if name in arrays:
            ours[name] = losses[:, i]
        for rank, prefix in enumerate(ranked):
            key = prefix + name
            if key in arrays:
                value = losses[rank, i].reshape(arrays[key].shape)
                error = distance(value, arrays[key])
                ours[key] = Measured(error, tolerance(meta, name))
    return ours


SEGMENTED = re.compile(
    r'out_(?P<what>logits|label)_(?P<mode>whole_|slide_)?'
    r'(nobg|bg(?P<percent>\d+))'
)


@adapter('groupvit/segment')
@torch.no_grad()
def segment(meta: dict, arrays: dict) -> dict:
    """Segment an image whole and by windows, with and without background."""
    model = segmentor_of(meta)
    text_embedding = torch.from_numpy(arrays['in_text_embedding'])
    names = [f'class {i}' for i in range(len(text_embedding))]
    model.set_vocabulary(text_embedding, names)
    images = torch.from_numpy(arrays['in_image'])
    whole, _, grouping = model.encode_image(images)
    groups = grouping.labels().byte().numpy()  # (1, H, W)
    theirs = arrays.get('tap_group_index', groups).reshape(groups.shape)
    maps = grouping.maps().permute(0, 2, 3, 1)  # (1, H, W, G)
    ours = dict(
        tap_attn_map_last=thin(meta, 'tap_attn_map_last', maps),
        tap_group_index=few_misses(groups, theirs),
        out_zero_shot=cosine_logits(whole, text_embedding).numpy(),
    )
    if 'in_tokens' in arrays:
        ids = torch.from_numpy(arrays['in_tokens'])
        ours['out_text_embedding_from_tokens'] = model.embed_names(ids).numpy()
    for name in filter(SEGMENTED.fullmatch, arrays):
        ours[name] = compare_segmentation(
            model, images, meta, name, arrays[name], groups == theirs
        )
    return {name: value for name, value in ours.items() if name in arrays}


def segmentor_of(meta: dict) -> GroupViTSegmentor:
    """Build the case's segmentor and fill it."""
    windows = dict(
        crop_size=tuple(meta['config']['crop_size']),
        stride=tuple(meta['config']['stride']),
    )
    model = GroupViTSegmentor(**towers_of(meta), test_cfg=windows).eval()
    fill_from(model, meta)
    return model


def compare_segmentation(
    model, images, meta: dict, name: str, theirs: np.ndarray, agree
) -> Measured:
    """Compare the labels or scores that a name asks for.

    Scores of the input's size are compared where the groups ``agree``
    (1, H, W); others but for the worst pixels, for theirs are not known.
    """
    config = meta['config']
    what, mode, percent = SEGMENTED.fullmatch(name).group(
        'what', 'mode', 'percent'
    )
    put_background(model, percent and float(f'0.{percent}'))
    if what == 'label':
        scores = run_segmentor(model, images, config, mode or 'whole_')
        return few_misses(scores.argmax(dim=1).byte().numpy(), theirs)
    if mode is None:
        scores = thin(meta, name, model.encode_decode(images))
        steps = config.get('subsample', {}).get(name, (1, 1, 1, 1))[2:]
        agree = agree[:, :: steps[0], :: steps[1]]
        error = distance_at(agree, scores, theirs)
    else:
        scores = run_segmentor(model, images, config, mode)
        error = trimmed_distance(thin(meta, name, scores), theirs)
    return Measured(error, tolerance(meta, name))


def put_background(model, threshold: float | None) -> None:
    """Put the background in front of the names, or take it away."""
    vocabulary = model.decode_head.vocabulary
    named = [k for k, n in enumerate(vocabulary.names) if n != 'background']
    names = [vocabulary.names[k] for k in named]
    table = vocabulary.embeddings[named]
    model.decode_head.background = None
    if threshold is not None:
        model.decode_head.background = GroupBackground(
            'threshold', threshold=threshold
        )
        names = ['background', *names]
        table = F.pad(table, (0, 0, 1, 0))
    model.set_vocabulary(table, names)


def run_segmentor(model, images, config: dict, mode: str) -> torch.Tensor:
    """Return scores in the size of the original image."""
    model.test_cfg.mode = mode.rstrip('_')
    shape = tuple(config['ori_shape'])
    scores = model.inference(images, [dict(ori_shape=shape)])
    return F.interpolate(scores, shape, mode='bilinear')


def few_misses(ours: np.ndarray, theirs: np.ndarray) -> Measured:
    """Compare labels, of which a few may differ."""
    if ours.size != theirs.size:
        return Measured(np.inf, LOST_PIXELS)
    missed = np.mean(ours.reshape(theirs.shape) != theirs)
    return Measured(float(missed), LOST_PIXELS)


def trimmed_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Compare scores (1, K, H, W) but for as few pixels as labels.

    A pixel whose group differs has other scores.
    """
    if ours.shape != theirs.shape:
        return np.inf
    off = np.abs(ours - theirs).max(axis=1)  # (1, H, W)
    lost = int(LOST_PIXELS * off.size)
    kept = off <= np.sort(off, axis=None)[-1 - lost]
    return distance_at(kept, ours, theirs)


def distance_at(kept: np.ndarray, ours, theirs) -> float:
    """Compare scores (1, K, H, W) where ``kept`` (1, H, W) is true."""
    kept = np.broadcast_to(kept[:, None], theirs.shape)
    return distance(np.asarray(ours)[kept], theirs[kept])
