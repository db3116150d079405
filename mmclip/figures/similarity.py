"""How well each pixel of an image fits a name: cosines of a dense CLIP.

K names, D embedding width, h x w positions.
"""

import argparse

import numpy as np

from mmclip.figures.canvas import Sheet


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip figure similarity``."""
    parser.add_argument('image')
    parser.add_argument(
        '--text', required=True, help='a name, or several: "dog . grass"'
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        '--clip',
        metavar='NAME',
        help="a frozen CLIP: a model of open_clip's, or shapes-clip, which "
        'knows drawn shapes only',
    )
    source.add_argument(
        '--model',
        metavar='WORK_DIR|FILE',
        help='or a trained segmentor, such as LSeg',
    )
    parser.add_argument(
        '--pretrained',
        metavar='TAG|FILE',
        help="the CLIP's weights; default: openai",
    )
    parser.add_argument(
        '--size',
        type=int,
        help='shorter side that the CLIP sees in pixels; default: twice its '
        'own, and at least 256',
    )
    parser.add_argument(
        '--prompts',
        help='prompt set; default: vild, and single for shapes-clip, which '
        'knows few words',
    )
    parser.add_argument(
        '--config', help="the segmentor's, where its checkpoint has none"
    )
    parser.add_argument('--device', help='for the segmentor')


def draw(args) -> np.ndarray:
    """Draw what the command line asks for."""
    from mmclip.clip.phrases import split_phrases
    from mmclip.inference.image import load_image

    image, names = load_image(args.image), list(split_phrases(args.text))
    if args.model:
        from mmclip.inference.segmentor import Segmentor

        segmentor = Segmentor(
            args.model, config=args.config, device=args.device
        )
        cosines = segmentor_cosines(segmentor, image, names)
    else:
        cosines = clip_cosines(
            image,
            names,
            args.clip,
            args.pretrained,
            size=args.size,
            prompts=args.prompts,
        )
    return draw_similarity(image, names, cosines)


def clip_cosines(
    image: np.ndarray,
    names,
    model: str,
    pretrained: str | None = None,
    *,
    size: int | None = None,
    prompts: str | None = None,
) -> np.ndarray:
    """Compare every position of a frozen CLIP with names.

    Args:
        image: (H, W, 3) RGB.
        names: K of them.
        model: As of :func:`mmclip.clip.weights.load_clip`.
        pretrained: Likewise; 'openai' by default.
        size: Shorter side that the CLIP sees; by default twice its own, and at
            least 256.
        prompts: Prompt set that the names are written into; 'vild' by
            default, 'single' for shapes-clip.

    Returns:
        Cosines (K, h, w).
    """
    import torch

    from mmclip.clip.image import CLIPImageEncoder
    from mmclip.clip.text import CLIPTextEncoder
    from mmclip.clip.vocabulary import Vocabulary
    from mmclip.clip.weights import SHAPES_CLIP, load_clip

    if model == SHAPES_CLIP:
        prompts = prompts or 'single'
    else:
        pretrained = pretrained or 'openai'
    clip, tokenizer = load_clip(model, pretrained)
    encoder = CLIPImageEncoder(clip)
    texts = Vocabulary(
        names,
        prompts=prompts or 'vild',
        text_encoder=CLIPTextEncoder(clip, tokenizer=tokenizer),
        cache=False,
    ).embeddings  # (K, D)
    own = np.ravel(getattr(clip.visual, 'image_size', 224))[0]
    pixels = as_input(image, size or max(256, int(2 * own)))
    with torch.no_grad():
        dense = encoder.dense(encoder.normalise(pixels))[0]  # (D, h, w)
    return torch.einsum('kd,dhw->khw', texts, dense).numpy()


def as_input(image: np.ndarray, size: int):
    """Bring an image's shorter side to ``size``: (1, 3, h, w) in [0, 1]."""
    import cv2
    import torch

    zoom = size / min(image.shape[:2])
    # whole patches of any CLIP: a ViT takes nothing else
    sides = [max(32, 32 * round(n * zoom / 32)) for n in image.shape[1::-1]]
    picture = cv2.resize(image, sides, interpolation=cv2.INTER_CUBIC)
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def segmentor_cosines(segmentor, image: np.ndarray, names) -> np.ndarray:
    """Compare the pixel embeddings of a segmentor with names.

    Args:
        segmentor: A :class:`mmclip.inference.segmentor.Segmentor` of ours.
        image: (H, W, 3) RGB.
        names: K of them.

    Returns:
        Cosines (K, h, w).

    Raises:
        ValueError: The model embeds no pixels.
    """
    import torch

    from mmclip.inference.segmentor import needs

    model = segmentor.model
    needs(model, 'pixel_embeddings', 'a map of similarities')
    segmentor.set_vocabulary(names)
    packed = segmentor.pack(image)
    with torch.no_grad():
        data = model.data_preprocessor(
            {key: [value] for key, value in packed.items()}
        )
        dense = model.pixel_embeddings(data['inputs'])[0]  # (D, h, w)
        vocabulary = model.decode_head.vocabulary
        texts = vocabulary.embeddings.to(dense)  # (K, D)
        return torch.einsum('kd,dhw->khw', texts, dense).cpu().numpy()


def draw_similarity(image: np.ndarray, names, cosines) -> np.ndarray:
    """Draw an image and, beside it, a map for each name, on one scale.

    Args:
        image: (H, W, 3) RGB.
        names: K of them.
        cosines: (K, h, w).

    Returns:
        The picture, (H', W', 3) RGB.
    """
    height, width = image.shape[:2]
    sheet = Sheet(1 + len(names), 3, 3 * height / width + 0.4, columns=4)
    extent = (0, width, height, 0)
    for axes in sheet.axes:
        axes.axis('off')
    sheet.axes[0].imshow(image, extent=extent)
    grey = image.mean(axis=-1)
    low, high = float(cosines.min()), float(cosines.max())
    for name, values, axes in zip(names, cosines, sheet.axes[1:]):
        axes.imshow(grey, 'gray', extent=extent, vmin=0, vmax=255)
        shown = axes.imshow(
            values,
            'viridis',
            extent=extent,
            alpha=0.75,
            interpolation='bilinear',
            vmin=low,
            vmax=high,
        )
        axes.set_title(f'{name} ({values.min():.2f} to {values.max():.2f})')
    bar = sheet.figure.colorbar(shown, ax=sheet.axes, shrink=0.8, aspect=30)
    bar.set_label('cosine')
    return sheet.picture()
