"""Run GLIPv2's mask head through mmclip."""

import torch
from cases import adapter, reference_state

from mmclip.glip.mask_head import VLMaskHead


@adapter('glip/v2_mask_head')
def masks(meta: dict, arrays: dict) -> dict:
    """Compute logits, loss, gradient and probabilities."""
    config = meta['config']
    given = {k: torch.from_numpy(v) for k, v in arrays.items()}
    head = filled(meta)
    regions = given['in_roi'].requires_grad_()
    words = given['in_words']
    images = torch.zeros(len(regions), dtype=torch.long)
    logits = head.word_logits(regions, words, images)
    rows = given['in_positive_map'] > 0
    positive = rows.any(dim=1)
    loss = head.mask_loss(
        head(regions, words, images, rows)[positive],
        given['in_mask_targets'],
    )
    loss.backward()
    named = torch.zeros(len(regions), config['tokens'], dtype=torch.bool)
    for row, label in zip(named, given['in_labels'].tolist()):
        row[config['positive_map'][str(label)]] = True
    share = arrays['out_grad_roi'].shape[1]
    step = regions.shape[1] // share
    found = head(regions, words, images, named)[:, 0].sigmoid()
    return dict(
        out_mask_logits=logits.detach()[:, :, ::2, ::2],
        out_loss=loss.detach(),
        out_mask_prob=found.detach(),
        out_grad_roi=regions.grad[:, ::step],
    )


def filled(meta: dict) -> VLMaskHead:
    """Build the case's head with its weights."""
    config = meta['config']
    head = VLMaskHead(
        num_convs=0,
        in_channels=config['channels'],
        conv_out_channels=config['channels'],
        language_dim=config['lang_dim'],
    )
    head.load_state_dict(
        {
            name.replace('conv5_mask', 'upsample'): torch.from_numpy(value)
            for name, value in reference_state(meta).items()
        }
    )
    return head
