"""Run ViLD's golden cases through mmclip."""

import re

import numpy as np
import torch
from cases import CaseError, adapter, reference_state
from open_clip.transformer import QuickGELU, TextTransformer
from torch import nn

from mmclip.clip.prompts import prompt_set
from mmclip.clip.text import CLIPTextEncoder
from mmclip.clip.tokenizer import CLIPTokenizer, cut_to_longest
from mmclip.clip.vocabulary import encode_names

QUANTITY = re.compile(
    r'(?:out|tap|data)_(?P<set>[a-z]+)_'
    r'(?P<what>embeddings|sentences|tokens|per_template|templates)'
    r'(?:_all)?(?:_name(?P<row>\d+))?'
)


@adapter('vild/text_embeddings')
def text_embeddings(meta: dict, arrays: dict) -> dict:
    """Write names into templates and encode them with a CLIP text tower."""
    encoder = text_encoder(meta)
    names = [str(name) for name in arrays['in_names']]
    sentences, ours = {}, {}
    for key, theirs in arrays.items():
        match = QUANTITY.fullmatch(key)
        if not match:
            continue
        prompts, what, row = match.group('set', 'what', 'row')
        if prompts not in sentences:
            write = prompt_set(prompts).sentences
            sentences[prompts] = [write(name) for name in names]
        written = sentences[prompts]
        if what == 'templates':
            ours[key] = prompt_set(prompts).templates
        elif what == 'sentences':
            rows, columns = theirs.shape
            ours[key] = np.array([s[:columns] for s in written[:rows]])
        elif what == 'tokens':
            ours[key] = cut_to_longest(encoder.tokenizer(written[int(row)]))
        elif what == 'per_template':
            every = encoder.encode(written[int(row)]).numpy()  # (S, D)
            ours[key] = every[:, :: every.shape[1] // theirs.shape[1]]
        else:
            ours[key] = encode_names(encoder, written).numpy()
    return ours


def text_encoder(meta: dict) -> CLIPTextEncoder:
    """Build the case's text tower and fill it from its published layout.

    Raises:
        CaseError: The header does not describe a CLIP text tower.
    """
    described = meta['config']['text_encoder']
    numbers = {}
    for key, pattern in {
        'width': r'width (\d+)',
        'heads': r'(\d+) heads',
        'layers': r'(\d+) layers',
        'context_length': r'context (\d+)',
        'vocab_size': r'vocab (\d+)',
        'output_dim': r'embed (\d+)',
    }.items():
        found = re.search(pattern, described)
        if not found:
            raise CaseError(
                f'config.text_encoder does not say its {key}: {described}'
            )
        numbers[key] = int(found.group(1))
    quick = 'QuickGELU' in described
    tower = TextTransformer(
        **numbers, act_layer=QuickGELU if quick else nn.GELU
    )
    tokenizer = CLIPTokenizer(
        context_length=numbers['context_length'], truncate=True
    )
    encoder = CLIPTextEncoder(tower, tokenizer=tokenizer)
    encoder.tower.load_state_dict(
        {
            name: torch.from_numpy(value)
            for name, value in reference_state(meta).items()
            if not name.startswith(('visual.', 'logit_scale'))
        }
    )
    return encoder
