"""Read features out of the timm models that open_clip wraps.

B images, R regions, C channels of a layer, D embedding width, h x w positions.
"""

from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor, nn

from mmclip.clip.towers import choose


class TimmTower(nn.Module):
    """Wrap open_clip's ``TimmModel``; layers are timm's feature_info."""

    def __init__(self, visual: nn.Module, out_indices=None) -> None:
        super().__init__()
        self.visual = visual
        take_any_size(visual.trunk)
        info = visual.trunk.feature_info
        info = getattr(info, 'info', info)
        default = range(len(info)) if self.convolutional else [-1]
        self.out_indices = choose(out_indices, default, len(info))
        self.out_channels = [info[k]['num_chs'] for k in self.out_indices]
        self.strides = [info[k]['reduction'] for k in self.out_indices]
        self.region_stride = info[-1]['reduction']

    @property
    def convolutional(self) -> bool:
        """Tell whether the trunk ends in a map rather than in tokens."""
        return not hasattr(self.visual.trunk, 'num_prefix_tokens')

    def cover(self, x: Tensor) -> Tensor:
        """Pad images with zeros to whole patches, where the trunk has any."""
        if self.convolutional:
            return x
        trunk = self.visual.trunk
        high, wide = trunk.patch_embed.patch_size
        x = F.pad(x, (0, -x.shape[3] % wide, 0, -x.shape[2] % high))
        rope = getattr(trunk, 'rope', None)
        if hasattr(rope, 'update_feat_shape'):  # EVA keeps the last size's
            rope.update_feat_shape([x.shape[2] // high, x.shape[3] // wide])
        return x

    def layers(self, x: Tensor) -> list[Tensor]:
        """Return the chosen layers' maps, each (B, C, h, w)."""
        return self.visual.trunk.forward_intermediates(
            self.cover(x),
            indices=self.out_indices,
            stop_early=True,
            output_fmt='NCHW',
            intermediates_only=True,
        )

    def pooled(self, x: Tensor) -> Tensor:
        """Return the image embeddings (B, D)."""
        return self.visual(self.cover(x))

    def with_regions(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return ``layers`` and a map to pool regions from, in one pass.

        The map is the trunk's last (B, C, h, w), or ``dense`` of a ViT.
        """
        x = self.cover(x)
        last, layers = self.visual.trunk.forward_intermediates(
            x, indices=self.out_indices, output_fmt='NCHW'
        )
        if not self.convolutional:
            last = self.values(last, x)
        return layers, last

    def embed_regions(self, maps: Tensor) -> Tensor:
        """Pool and project the maps of regions (R, C, s, s) into (R, D)."""
        if not self.convolutional:
            return maps.mean(dim=(2, 3))
        return self.visual.head(self.visual.trunk.forward_head(maps))

    def dense(self, x: Tensor) -> Tensor:
        """Project each position alone as the pooled one is, (B, D, h, w).

        A norm between pool and projection divides every position by the
        deviation of the pooled vector. So behind an average pool and a linear
        projection the mean over the positions is the pooled embedding.
        """
        x = self.cover(x)
        return self.values(self.visual.trunk.forward_features(x), x)

    def values(self, features: Tensor, x: Tensor) -> Tensor:
        """Project the trunk's features of images ``x``, (B, D, h, w)."""
        trunk = self.visual.trunk
        if self.convolutional:
            grid = features.shape[2:]
            places = features.flatten(2).transpose(1, 2)  # (B, h * w, C)
            single = places.flatten(0, 1)[:, :, None, None]
        else:
            grid = trunk.patch_embed.dynamic_feat_size(x.shape[2:])
            prefix = trunk.num_prefix_tokens
            places = features[:, prefix:]  # (B, h * w, C)
            # One token, repeated: a pool of any kind returns its value.
            single = places.flatten(0, 1)[:, None].repeat(1, prefix + 1, 1)
        with pooled_deviation(self.pool_norm, places):
            values = self.visual.head(trunk.forward_head(single))
        values = values.unflatten(0, places.shape[:2])  # (B, h * w, D)
        return values.transpose(1, 2).unflatten(2, tuple(grid))

    @property
    def pool_norm(self) -> nn.Module | None:
        """Return the layer norm between an average pool and the head."""
        trunk = self.visual.trunk
        norm = getattr(trunk, 'fc_norm', None)
        norm = norm or getattr(getattr(trunk, 'head', None), 'norm', None)
        return norm if isinstance(norm, nn.LayerNorm) else None

    def attention(self, x: Tensor) -> list[Tensor]:
        """Refuse: timm's towers do not hand out attention."""
        raise ValueError(
            f'{type(self.visual.trunk).__name__} gives no attention: take an '
            "open_clip ViT such as 'ViT-B-32' or a ResNet such as 'RN50'"
        )


def take_any_size(trunk: nn.Module) -> None:
    """Switch on a timm transformer's own resizing of position embeddings.

    It is an argument of timm's constructor that open_clip does not pass on.
    Nothing changes at the native size.
    """
    if getattr(trunk, 'dynamic_img_size', True):
        return
    from timm.layers import Format

    trunk.dynamic_img_size = True
    trunk.patch_embed.strict_img_size = False
    trunk.patch_embed.flatten = False
    trunk.patch_embed.output_fmt = Format.NHWC


@contextmanager
def pooled_deviation(norm: nn.LayerNorm | None, places: Tensor):
    """Let ``norm`` divide by the deviation of each image's mean position.

    Layer norm is linear but for that division.

    Args:
        norm: The norm that reads pooled features, if there is one.
        places: The positions (B, h * w, C) that go through it one by one.
    """
    if norm is None:
        yield
        return
    variance = places.mean(dim=1).var(dim=-1, unbiased=False)  # (B,)
    scale = (variance + norm.eps).rsqrt().repeat_interleave(places.shape[1])

    def linear(module, args, output):
        flat = args[0].flatten(1)  # (B * h * w, C)
        centred = flat - flat.mean(dim=1, keepdim=True)
        out = centred * scale[:, None]
        if module.weight is not None:
            out = out * module.weight + module.bias
        return out.reshape(output.shape)

    handle = norm.register_forward_hook(linear)
    try:
        yield
    finally:
        handle.remove()
