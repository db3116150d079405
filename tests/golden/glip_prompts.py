"""Run GLIP's prompts and token maps through mmclip."""

import numpy as np
from cases import Measured, adapter

from mmclip.glip.grounding import ground, ground_names
from mmclip.glip.token_maps import label_of_token, positive_map
from mmclip.glip.tokenizer import WordPieceTokenizer

SPECIAL = {'[PAD]': 0, '[UNK]': 100, '[MASK]': 103}


@adapter('glip/prompts')
def prompts(meta: dict, arrays: dict) -> dict:
    """Compare captions, tokens and token maps, all of them exactly."""
    vocabulary = dict(SPECIAL)
    for case in meta['cases']:
        vocabulary.update(zip(case['tokens'], case['ids']))
    tokenizer = WordPieceTokenizer(
        vocabulary, max_tokens=meta['config']['max_query_len']
    )
    pieces = sorted(set(meta['vocab']) | set(tokenizer.SPECIAL))
    small = WordPieceTokenizer(pieces)
    found = {}
    for k, case in enumerate(meta['cases']):
        ours = COMPUTED[case['kind']](case, tokenizer)
        ours |= read(case['caption'], tokenizer)
        ids = small.encode(case['caption']).ids
        ours['tokens'] = [pieces[i] for i in ids]
        for name, value in ours.items():
            missed = float(value != case[name])
            found[f'case{k}_{name}'] = Measured(missed, meta['tolerance'])
    return found


def read(caption: str, tokenizer) -> dict:
    """Return ids and offsets."""
    encoding = tokenizer.encode(caption)
    offsets = [list(span) for span in encoding.spans]
    return dict(ids=encoding.ids, offsets=offsets)


def class_list(case: dict, tokenizer) -> dict:
    """Write a class list."""
    (one,) = ground(case['names'], tokenizer)
    return dict(caption=one.caption, label_to_tokens=numbered(one, tokenizer))


def phrases(case: dict, tokenizer) -> dict:
    """Mark the phrases of a caption."""
    (one,) = ground(
        case['caption'], tokenizer, tokens_positive=case['tokens_positive']
    )
    width = tokenizer.max_tokens
    rows = one.token_map(tokenizer, width).double().numpy()
    shares = (rows / (rows.sum(1, keepdims=True) + 1e-6)).max(1)
    return dict(
        caption=one.caption,
        label_to_tokens=numbered(one, tokenizer),
        row_value=np.round(shares, 6).tolist(),
        row_width=rows.shape[1],
    )


def numbered(grounding, tokenizer) -> dict:
    """Return each label's tokens by its number as text, from 1."""
    rows = grounding.token_map(tokenizer)
    return {
        str(k): row.nonzero().flatten().tolist()
        for k, row in enumerate(rows, 1)
    }


def training_caption(case: dict, tokenizer) -> dict:
    """Mark the boxes' classes in a caption of classes in random order."""
    order = [int(label) for label in case['label_to_char_span']]
    (one,) = ground_names([case['names'][k - 1] for k in order], tokenizer)
    spans = {str(k): span for k, (span,) in zip(order, one.spans)}
    boxes = positive_map(
        one, tokenizer, [order.index(k) for k in case['labels']]
    )
    rows = one.token_map(tokenizer)
    positive = sorted(set(case['kept_labels']))
    return dict(
        caption=one.caption,
        label_to_char_span=spans,
        box_tokens={
            str(k): row.nonzero().flatten().tolist()
            for k, row in enumerate(boxes)
        },
        od_label_of_token=label_of_token(rows, order).tolist(),
        positive_caption_tokens=sum(
            tokenizer.count(case['names'][k - 1] + '. ') for k in positive
        ),
    )


COMPUTED = dict(
    class_list=class_list,
    phrases=phrases,
    od_training_caption=training_caption,
)
