"""Build and load shapes-clip, the small CLIP of the shapes world.

It is an ``open_clip.CLIP`` whose image tower is ResNet-18 at a quarter of its
width and whose token table holds only the words of its world. It knows drawn
shapes and nothing else: it must never answer for a photograph.

Symbols: N texts, L tokens.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import open_clip
import torch
from open_clip.model import set_model_preprocess_cfg
from safetensors.torch import load_file
from timm.models import register_model
from timm.models.resnet import BasicBlock, ResNet
from torch import Tensor, nn

ASSETS = Path(__file__).with_name('assets')
CONFIG = ASSETS / 'shapes-clip.json'
WEIGHTS = ASSETS / 'shapes-clip.safetensors'
WIDTH = 16


class NarrowResNet(ResNet):
    """timm's ResNet with a stem as narrow as its first stage.

    timm fixes the stem at 64 channels; torchvision and mmdet tie it to the
    base width, whose names and shapes this keeps, so that mmdet's
    ``ResNet(depth=18, base_channels=16)`` loads the trunk as it is.
    """

    def __init__(self, *args, base_channels: int = WIDTH, **kwargs):
        stages = tuple(base_channels * 2**k for k in range(4))
        super().__init__(*args, channels=stages, **kwargs)
        self.conv1 = nn.Conv2d(3, base_channels, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(base_channels)
        self.layer1[0] = BasicBlock(base_channels, base_channels)
        self.feature_info[0]['num_chs'] = base_channels


@register_model
def mmclip_shapes_resnet18(pretrained: bool = False, **kwargs) -> ResNet:
    """Build the image trunk of shapes-clip, for ``timm_model_name``."""
    kwargs = {
        k: v
        for k, v in kwargs.items()
        if k not in ('pretrained_cfg', 'pretrained_cfg_overlay', 'cache_dir')
    }
    trunk = NarrowResNet(BasicBlock, (2, 2, 2, 2), **kwargs)
    trunk.default_cfg = dict(pool_size=(2, 2), num_classes=0)
    return trunk


class ShapesTokenizer:
    """Turn texts into token ids: the words of the shapes world, no others.

    Each word keeps the byte pairs that CLIP's tokenizer gives it; their rows
    are renumbered in the same order, so padding is 0 and the end of text is
    the largest id.

    Args:
        words: The byte pair ids of every known word.
        bpe_ids: CLIP's id of each row of the token table, rising.
        context_length: L.
    """

    def __init__(
        self,
        words: dict[str, list[int]],
        bpe_ids: list[int],
        context_length: int,
    ):
        row = {bpe: k for k, bpe in enumerate(bpe_ids)}
        self.words = {w: [row[i] for i in ids] for w, ids in words.items()}
        self.start, self.end = len(bpe_ids) - 2, len(bpe_ids) - 1
        self.context_length = context_length

    def __call__(self, texts: str | Sequence[str]) -> Tensor:
        """Return ids, int64 (N, L).

        Raises:
            ValueError: A word is unknown, or a text is too long.
        """
        texts = [texts] if isinstance(texts, str) else texts
        ids = torch.zeros(len(texts), self.context_length, dtype=torch.long)
        for row, text in zip(ids, texts):
            tokens = self.encode(text)
            row[: len(tokens)] = torch.tensor(tokens)
        return ids

    def encode(self, text: str) -> list[int]:
        """Return the ids of one text between its start and its end."""
        tokens = [self.start]
        for word in re.findall(r'[^\W\d_]+|\S', text.lower()):
            if word not in self.words:
                raise ValueError(
                    f"shapes-clip does not know the word '{word}' in "
                    f"'{text}': it knows {', '.join(sorted(self.words))}; "
                    'for other words choose a CLIP trained on photographs'
                )
            tokens += self.words[word]
        if len(tokens) >= self.context_length:
            raise ValueError(
                f"'{text}' has {len(tokens) + 1} tokens but shapes-clip reads "
                f'{self.context_length}: shorten it'
            )
        return [*tokens, self.end]


def read_config(path: str | os.PathLike = CONFIG) -> dict:
    """Read the model, preprocessing and words of shapes-clip."""
    return json.loads(Path(path).read_text(encoding='utf8'))


def shapes_tokenizer(config: dict | None = None) -> ShapesTokenizer:
    """Return the tokenizer of ``read_config``, by default the packaged."""
    config = config or read_config()
    return ShapesTokenizer(
        config['words'],
        config['bpe_ids'],
        config['model_cfg']['text_cfg']['context_length'],
    )


def build_shapes_clip(config: dict) -> tuple[open_clip.CLIP, ShapesTokenizer]:
    """Build the untrained model and its tokenizer from ``read_config``."""
    return open_clip.CLIP(**config['model_cfg']), shapes_tokenizer(config)


def load_shapes_clip(
    weights: str | os.PathLike | None = None,
) -> tuple[open_clip.CLIP, ShapesTokenizer]:
    """Load shapes-clip in evaluation mode and fp32.

    Args:
        weights: A safetensors file; the packaged one by default. A JSON of
            the same name beside it is its configuration, else the packaged.

    Returns:
        The model (``encode_image`` takes any size, normalised with CLIP's
        mean and deviation; ``mmclip.clip.image.CLIPImageEncoder`` gives its
        dense features) and the tokenizer, texts to ids (N, L).

    Raises:
        FileNotFoundError: There is no such file.
    """
    path = Path(weights or WEIGHTS)
    if not path.is_file():
        raise FileNotFoundError(
            f'there are no shapes-clip weights at {path}: pass None for the '
            'packaged ones, or run tools/train_shapes_clip.py'
        )
    own = path.with_suffix('.json')
    config = read_config(own if own.is_file() else CONFIG)
    model, tokenizer = build_shapes_clip(config)
    model.load_state_dict({k: _widen(v) for k, v in load_file(path).items()})
    set_model_preprocess_cfg(model, config['preprocess_cfg'])
    return model.eval().requires_grad_(False), tokenizer


def _widen(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value
