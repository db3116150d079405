"""Run GLIP's whole head through mmclip."""

import torch
from cases import Measured, adapter, reference_state

from mmclip.glip.bert_layers import BertEncoderLayer
from mmclip.glip.layout import head_name
from mmclip.glip.tower import VLDyHead, VLFuse


@adapter('glip/vldyhead')
@torch.no_grad()
def head(meta: dict, arrays: dict) -> dict:
    """Compute all outputs, and once more without the padding words."""
    network = filled(meta)
    given = {k: torch.from_numpy(v) for k, v in arrays.items()}
    levels = [given[k] for k in sorted(given) if k.startswith('in_p')]
    masks = given['in_mask'].bool()
    hidden = given['in_hidden']
    language = dict(
        hidden=hidden, masks=masks, embedded=hidden * masks[..., None]
    )
    found = watched(network)
    network.trim_padding = False
    logits, boxes, centerness = network(levels, language)
    for k, level in enumerate(logits):
        found[f'out_logits{k}'] = level
        found[f'out_bbox{k}'] = boxes[k]
        found[f'out_ctr{k}'] = centerness[k]
    ours = {k: v for k, v in found.items() if k in arrays}
    network.trim_padding = True
    for k, level in enumerate(network(levels, language)[0]):
        theirs = given[f'out_logits{k}'][..., : int(masks.sum(1).max())]
        error = float((level - theirs).norm() / theirs.norm())
        ours[f'trimmed_logits{k}'] = Measured(error, meta['tolerance'])
    return ours


def filled(meta: dict) -> VLDyHead:
    """Build the case's head with its weights."""
    config = meta['config']
    network = VLDyHead(
        config['in_channels'],
        config['channels'],
        config['lang_dim'],
        num_dyhead_blocks=config['num_convs'],
        early_fuse=config['early_fuse'],
        fusion=dict(
            embed_dim=config['fuse_embed_dim'],
            num_heads=config['fuse_heads'],
        ),
        text_layer=dict(
            heads=config['bert_heads'],
            intermediate=config['bert_intermediate'],
        ),
        dyconv=dict(
            num_groups=config['use_gn'],
            use_dyfuse=config['use_dyfuse'],
            use_dyrelu=config['use_dyrelu'],
            use_dcn=config['use_dfconv'],
        ),
        num_levels=len(config['levels']),
        num_base_priors=config['num_anchors'],
    )
    state = {}
    for name, value in reference_state(meta).items():
        ours = head_name(name)
        if ours is not None:
            state[ours] = torch.from_numpy(value)
    network.load_state_dict(state)
    return network.eval()


def watched(network: VLDyHead) -> dict:
    """Return a dict that the layers fill when they run."""
    taps, block = {}, -1
    words = []
    for layer in network.dyhead_tower:
        if isinstance(layer, VLFuse) or not network.early_fuse:
            block += 1
        layer.register_forward_hook(recorder(layer, block, taps, words))
    return taps


def recorder(layer, block: int, taps: dict, words: list):
    """Return a hook that writes a layer's results into ``taps``."""
    kind = 'dyconv'
    if isinstance(layer, VLFuse):
        kind = 'fuse'
    elif isinstance(layer, BertEncoderLayer):
        kind = 'bert'

    def hook(module, inputs, output):
        if kind == 'fuse':
            levels, own = output
            words[:] = [own]
            taps['last'] = levels
        elif kind == 'bert':
            words[:] = [output]
        else:
            taps['last'] = output
        name = f'tap_b{block}_{kind}'
        taps.setdefault(f'{name}_p2', taps['last'][2])
        if words:
            taps.setdefault(f'{name}_lang', words[0][:, ::4])

    return hook
