"""What a frozen CLIP sees in pictures: chosen layers and the embedding.

B pictures, C channels of a layer, D embedding width.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmclip.clip.image import CLIPImageEncoder
from mmclip.clip.scheme import PREFIX
from mmclip.clip.timm_tower import TimmTower
from mmclip.clip.towers import ResNetTower, ViTTower, outputs_of
from mmclip.clip.weights import SHAPES_CLIP
from mmclip.clipasso.folding import fold_batch_norms
from mmclip.registry import MODELS


@dataclass
class CLIPFeatures:
    """Hold what CLIP sees in B pictures.

    Attributes:
        layers: By name, maps (B, C, h, w) or tokens (B, L, C).
        pooled: Embeddings of any length (B, D), ``None`` where unasked for.
    """

    layers: dict[str, Tensor]
    pooled: Tensor | None = None

    def __len__(self) -> int:
        """Return B."""
        for value in (*self.layers.values(), self.pooled):
            return len(value)
        return 0

    def rows(self, index) -> 'CLIPFeatures':
        """Return the features of some pictures."""
        return CLIPFeatures(
            {name: value[index] for name, value in self.layers.items()},
            None if self.pooled is None else self.pooled[index],
        )


@MODELS.register_module()
class CLIPFeatureExtractor(nn.Module):
    """Look at pictures with a frozen CLIP, in one pass.

    Gradients reach the pictures but never the weights. The pass ends behind
    the last layer that is asked for.

    Args:
        model: As in :class:`mmclip.clip.image.CLIPImageEncoder`.
        pretrained: Likewise.
        layers: Names: ``'stem'``, ``'layer1'`` to ``'layer4'`` of a ResNet,
            ``'block0'`` and on of a ViT, whose tokens include the class
            token; ``'layer0'`` and on of a timm network.
        pooled: Whether the embedding is wanted.
        init_cfg: As in the encoder: weights read when a run starts.
        fold: Whether a ResNet's batch norms are folded into its convolutions
            and channels lie last in memory, which is quicker and the same but
            for rounding. A built network is left as it is.
        dtype: ``'bfloat16'`` computes in half precision where torch's
            autocast does; what is seen is float32 all the same.

    Raises:
        ValueError: The tower has no such layer, or ``dtype`` is another.
    """

    def __init__(
        self,
        model: str | dict | nn.Module = 'RN101',
        pretrained: str | None = None,
        *,
        layers: Sequence[str] = ('layer2', 'layer3'),
        pooled: bool = True,
        init_cfg: dict | None = None,
        fold: bool = True,
        dtype: str = 'float32',
    ) -> None:
        super().__init__()
        if dtype not in ('float32', 'bfloat16'):
            raise ValueError(
                f"dtype is {dtype!r}, expected 'float32' or 'bfloat16'"
            )
        self.dtype = dtype
        self.fold = fold and not isinstance(model, nn.Module)
        self.encoder = CLIPImageEncoder(model, pretrained, init_cfg=init_cfg)
        self.name = network_name(model, pretrained, init_cfg)
        self.text = text_settings(model, pretrained, init_cfg)
        self.ask_for(layers, pooled)

    def ask_for(self, layers: Sequence[str], pooled: bool) -> None:
        """Choose what is looked at, as in the constructor."""
        known = layer_names(self.encoder.tower)
        unknown = [name for name in layers if name not in known]
        if unknown:
            raise ValueError(
                f'this tower has no layer {unknown[0]!r}: it has '
                f'{", ".join(known)}'
            )
        if not layers and not pooled:
            raise ValueError('neither layers nor pooled: nothing to look at')
        self.layers = sorted(set(layers), key=known.index)
        self.pooled = pooled

    def init_weights(self) -> None:
        """Read the weights that ``init_cfg`` names."""
        self.encoder.init_weights()

    def forward(self, images: Tensor) -> CLIPFeatures:
        """Look at RGB pictures (B, 3, H, W) in [0, 1]."""
        if self.dtype == 'float32':
            return self.look(images)
        with torch.autocast(images.device.type, torch.bfloat16):
            seen = self.look(images)
        layers = {name: value.float() for name, value in seen.layers.items()}
        pooled = None if seen.pooled is None else seen.pooled.float()
        return CLIPFeatures(layers, pooled)

    def look(self, images: Tensor) -> CLIPFeatures:
        """Do the same in the precision at hand."""
        x = self.encoder.normalise(images)
        tower = self.encoder.tower
        if self.fold:  # not before its weights have been read
            self.fold = False
            if isinstance(tower, ResNetTower):
                fold_batch_norms(tower.visual)
                tower.visual.to(memory_format=torch.channels_last)
        if isinstance(tower, TimmTower):
            return self.look_with_timm(tower, x)
        modules = [layer_module(tower, name) for name in self.layers]
        if not self.pooled:
            with outputs_of(modules, stop=True) as kept:
                tower.run(x) if isinstance(tower, ViTTower) else tower.visual(
                    x
                )
            return CLIPFeatures(dict(zip(self.layers, kept)))
        with outputs_of(modules) as kept:
            pooled = tower.pooled(x)
        return CLIPFeatures(dict(zip(self.layers, kept)), pooled)

    def look_with_timm(self, tower: TimmTower, x: Tensor) -> CLIPFeatures:
        """Do the same with two passes where both are asked for."""
        own = tower.out_indices  # others look through this tower too
        tower.out_indices = [int(name[5:]) for name in self.layers]
        try:
            maps = tower.layers(x) if self.layers else []
        finally:
            tower.out_indices = own
        pooled = tower.pooled(x) if self.pooled else None
        return CLIPFeatures(dict(zip(self.layers, maps)), pooled)

    @torch.no_grad()
    def look_at_target(self, images: Tensor) -> CLIPFeatures:
        """Do the same without a graph, for pictures that stay as they are."""
        return self(images)


def network_name(
    model: str | dict | nn.Module,
    pretrained: str | None = None,
    init_cfg: dict | None = None,
) -> str:
    """Say which network looks, with its weights: random ones are called so."""
    name = model if isinstance(model, str) else 'a CLIP of its own'
    weights = pretrained or (init_cfg or {}).get('checkpoint')
    if model == SHAPES_CLIP:
        weights = weights or 'knows drawn shapes only'
    elif isinstance(model, nn.Module):
        weights = weights or 'weights as given'
    return f'{name} ({weights or "random weights"})'


def text_settings(
    model: str | dict | nn.Module,
    pretrained: str | None = None,
    init_cfg: dict | None = None,
) -> dict | None:
    """Return the settings of the text encoder that belongs to a network.

    ``None`` for a built network, of which no more than this is known.
    """
    if isinstance(model, nn.Module):
        return None
    source = (init_cfg or {}).get('checkpoint', pretrained)
    if isinstance(source, str) and source.startswith(PREFIX):
        source = source.removeprefix(PREFIX).partition('/')[2] or None
    return dict(model=model, pretrained=source)


def fingerprint(module: nn.Module) -> str:
    """Identify a network by its weights, whatever it is called.

    The hash covers the first values of every parameter.
    """
    digest = hashlib.sha256()
    for parameter in module.parameters():
        first = parameter.detach().flatten()[:64].float().cpu()
        digest.update(f'{tuple(parameter.shape)}'.encode())
        digest.update(first.numpy().tobytes())
    return digest.hexdigest()[:16]


def layer_names(tower: nn.Module) -> list[str]:
    """Return the layers of an image tower, in the order in which they run."""
    if isinstance(tower, ResNetTower):
        return ['stem', 'layer1', 'layer2', 'layer3', 'layer4']
    if isinstance(tower, ViTTower):
        return [f'block{k}' for k in range(len(tower.blocks))]
    info = tower.visual.trunk.feature_info
    return [f'layer{k}' for k in range(len(getattr(info, 'info', info)))]


def layer_module(tower: nn.Module, name: str) -> nn.Module:
    """Return the module whose output a layer is."""
    if isinstance(tower, ViTTower):
        return tower.blocks[int(name.removeprefix('block'))]
    if name == 'stem':
        return tower.visual.avgpool
    return getattr(tower.visual, name)


def build_extractor(clip: dict, losses) -> nn.Module:
    """Build the network that looks at what the losses compare."""
    layers = list(dict.fromkeys(n for loss in losses for n in loss.layers))
    return MODELS.build(
        dict(
            {'type': 'mmclip.CLIPFeatureExtractor', **clip},
            layers=layers,
            pooled=any(loss.pooled for loss in losses),
        )
    )


def each_view(owner: Tensor, images: int, shown: int) -> Tensor:
    """Return the rows of K * B targets that belong to K * M pictures.

    Args:
        owner: Which image each sketch is of (M,).
        images: B.
        shown: K * M.
    """
    first = torch.arange(shown // len(owner), device=owner.device) * images
    return (first[:, None] + owner).flatten()


def joined(parts: Sequence[CLIPFeatures]) -> CLIPFeatures:
    """Join the features of several batches."""
    layers = {
        name: torch.cat([part.layers[name] for part in parts])
        for name in parts[0].layers
    }
    if parts[0].pooled is None:
        return CLIPFeatures(layers)
    return CLIPFeatures(layers, torch.cat([part.pooled for part in parts]))
