"""Run GLIP's fusion layers through mmclip."""

import torch
from cases import Measured, adapter, reference_state

from mmclip.glip.fusion import (
    BiAttentionFusion,
    SeparateBiAttentionFusion,
    TextToImageFusion,
)

KINDS = {
    'glip/vlfuse': BiAttentionFusion,
    'glip/vlfuse_separate': SeparateBiAttentionFusion,
    'glip/vlfuse_t2i': TextToImageFusion,
}


@adapter(*KINDS)
def fuse(meta: dict, arrays: dict) -> dict:
    """Fuse; the last implementation's results, and the errors of all."""
    layer = filled(meta)
    levels = [
        torch.from_numpy(arrays[k]) for k in sorted(arrays) if 'in_v' in k
    ]
    words = torch.from_numpy(arrays['in_l'])
    masks = torch.from_numpy(arrays['in_mask']).bool()
    if meta['kind'] == 'glip/vlfuse_t2i':
        return named(*run(layer, levels, words, masks), arrays)
    found = {}
    for impl in ('sdpa', 'folded', 'eager'):
        layer.attn.attn_impl = impl
        taps = watched(layer)
        ours = named(*run(layer, levels, words, masks), arrays) | taps
        for key, value in ours.items():
            theirs = torch.from_numpy(arrays[key])
            error = (value - theirs).norm() / theirs.norm()
            found[f'{key}_{impl}'] = Measured(float(error), meta['tolerance'])
    return found | ours


def filled(meta: dict):
    """Build the case's layer with its weights."""
    config = meta['config']
    keys = ('v_dim', 'l_dim', 'embed_dim', 'num_heads')
    kind = KINDS[meta['kind']]
    options = {k: config[k] for k in keys}
    if kind is SeparateBiAttentionFusion:
        options['num_levels'] = len(config['levels'])
    layer = kind(**options)
    state = {k: torch.from_numpy(v) for k, v in reference_state(meta).items()}
    layer.load_state_dict(state)
    return layer.eval()


@torch.no_grad()
def run(layer, levels, words, masks):
    """Call the layer without gradients."""
    return layer(levels, words, masks)


def named(levels, words, arrays: dict) -> dict:
    """Return the results by the names of the case."""
    ours = {f'out_v{i}': level for i, level in enumerate(levels)}
    if 'out_l' in arrays:
        ours['out_l'] = words
    return ours


def watched(layer) -> dict:
    """Return a dict that norms and attention fill when they run."""
    taps = {}

    def positions(name):
        def hook(module, inputs, output):
            taps[f'tap_norm_{name}'] = output[:, :: 7 if name == 'v' else 3]

        return hook

    def both(module, inputs, output):
        taps['tap_delta_v'] = output[0][:, ::7]
        taps['tap_delta_l'] = output[1][:, ::3]

    layer.layer_norm_v.register_forward_hook(positions('v'))
    layer.layer_norm_l.register_forward_hook(positions('l'))
    layer.attn.register_forward_hook(both)
    return taps
