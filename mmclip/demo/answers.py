"""What each tab answers: picture and Markdown, of an image and a question.

Pictures are uint8 RGB (H, W, 3).
"""

import numpy as np

from mmclip.demo.models import Named
from mmclip.inference.image import load_image

SIDE = 640  # pixels that the longer side of a picture has at least


def detect(
    named: Named, image, text: str, score_thr: float
) -> tuple[np.ndarray, str]:
    """Find what a text names; without text, what the model was taught."""
    from mmclip.visualization import draw_found

    picture, detector = asked(image), named.build()
    found = detector(picture, text.strip() or None, score_thr=score_thr)
    return draw_found(picture, found, SIDE), table(found)


def ground(
    named: Named, image, caption: str, score_thr: float
) -> tuple[np.ndarray, str]:
    """Find each phrase of a caption.

    Raises:
        ValueError: The caption has no phrase.
    """
    from mmclip.visualization import draw_found

    picture, detector = asked(image), named.build()
    found = detector(picture, caption.strip(), score_thr=score_thr)
    missed = [n for n, _ in found['phrases'] if n not in found['labels']]
    text = table(found)
    if missed:
        text += f'\n\nNot found: {", ".join(map(plain, missed))}.'
    return draw_found(picture, found, SIDE), text


def segment(named: Named, image, text: str) -> tuple[np.ndarray, str]:
    """Give every pixel one of the names of a text."""
    from mmclip.visualization import draw_segmentation

    picture, segmentor = asked(image), named.build()
    found = segmentor(picture, text.strip() or None)
    names, labels = found['names'], found['labels']
    counts = np.bincount(labels.ravel(), minlength=len(names))
    rows = [
        (plain(names[k]), f'{100 * counts[k] / labels.size:.1f}')
        for k in np.argsort(-counts, kind='stable')
        if counts[k]
    ]
    drawn = draw_segmentation(picture, labels, names, SIDE, names)
    return drawn, markdown(('name', '% of the pixels'), rows)


def groups(named: Named, image) -> tuple[np.ndarray, str]:
    """Show which pixels a GroupViT merges, stage by stage."""
    picture, grouper = asked(image), named.build()
    found = grouper(picture)
    rows = [
        (str(stage), f'{len(np.unique(labels))} of {count}')
        for stage, (labels, count) in enumerate(
            zip(found['labels'], found['counts']), 1
        )
    ]
    return found['picture'], markdown(('stage', 'groups in use'), rows)


def asked(image) -> np.ndarray:
    """Return the image of a tab.

    Raises:
        ValueError: There is none.
    """
    if image is None:
        raise ValueError('there is no image yet: give one, or draw a scene')
    return load_image(image)


def table(found: dict) -> str:
    """Write what was found, the best first."""
    if not found['labels']:
        return 'Nothing found: lower the score threshold, or ask otherwise.'
    rows = [
        (plain(name), f'{score:.2f}', ', '.join(f'{v:.0f}' for v in box))
        for name, score, box in zip(
            found['labels'], found['scores'], found['boxes'].tolist()
        )
    ]
    return markdown(('name', 'score', 'box: left, top, right, bottom'), rows)


def markdown(head, rows) -> str:
    """Write a table."""
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def plain(name: str) -> str:
    """Keep a name from being read as Markdown or HTML."""
    return ''.join(f'&#{ord(c)};' if c in '|<>&*_`[]' else c for c in name)
