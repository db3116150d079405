"""Take four layers of a vision transformer, with their class tokens.

B images, C width, h x w patches, L tokens: the class token, others that the
model may put before the patches, and h * w patches.

Convention: patch (0, 0) is the top left; position embeddings are resized
bilinearly with align_corners=False, at every forward pass, whenever the grid
is another one, equal counts of patches included.
"""

from collections.abc import Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.func import functional_call

from mmclip.clip.checkpoint import read_state
from mmclip.clip.towers import choose, outputs_of
from mmclip.registry import MODELS


@MODELS.register_module()
class LSegViT(BaseModule):
    """A timm ViT whose blocks are read on the way (LSeg, section 3.2; DPT).

    timm's names of weights are those of LSeg's published checkpoints. What
    comes after the last block that is read is dropped, so that every
    parameter has a gradient.

    Args:
        model: timm's name, or the arguments of its ``VisionTransformer``
            (``dict(patch_size=16, embed_dims=64, depth=4, num_heads=1)``;
            ``embed_dims`` is timm's ``embed_dim``).
        out_indices: Blocks to return; negative ones count from the end.
        weights: State dict of the model in timm's layout (.safetensors, .pth)
            that a new training starts from, or ``'timm'``: its own download.
        with_cp: Whether blocks are computed again in the backward pass
            instead of kept, to save memory.

    Raises:
        ValueError: There is no such block, or timm's model is no ViT.
    """

    def __init__(
        self,
        model: str | dict = 'vit_large_patch16_384',
        *,
        out_indices: Sequence[int] = (5, 11, 17, 23),
        weights: str | None = None,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.model, self.weights = model, weights
        trunk = self._build()
        if not hasattr(trunk, 'blocks') or not hasattr(trunk, '_pos_embed'):
            raise ValueError(
                f'{model} is a {type(trunk).__name__} of timm and has no '
                "blocks of equal width: name a ViT, or take 'mmseg.ResNet'"
            )
        self.out_indices = choose(out_indices, (-1,), len(trunk.blocks))
        trunk.blocks = trunk.blocks[: self.out_indices[-1] + 1]
        trunk.norm = trunk.fc_norm = trunk.head = nn.Identity()
        trunk.attn_pool = None
        trunk.patch_embed.strict_img_size = False
        trunk.set_grad_checkpointing(with_cp)
        self.trunk = trunk
        self.patch_size = tuple(trunk.patch_embed.patch_size)
        self.out_channels = [trunk.embed_dim] * len(self.out_indices)

    def _build(self, **kwargs) -> nn.Module:
        from timm import create_model
        from timm.models.vision_transformer import VisionTransformer

        kwargs = dict(num_classes=0, **kwargs)
        if isinstance(self.model, str):
            return create_model(self.model, **kwargs)
        options = dict(self.model)
        if 'embed_dims' in options:
            options['embed_dim'] = options.pop('embed_dims')
        return VisionTransformer(**options, **kwargs)

    def init_weights(self) -> None:
        """Read ``weights``; without any, timm has drawn them already.

        Raises:
            ValueError: Names or shapes do not fit the model.
        """
        if self.weights is None:
            return
        if self.weights == 'timm':
            loaded = self._build(pretrained=True).state_dict()
        else:
            loaded = read_state(self.weights)
        wanted = self.trunk.state_dict()
        lacks = [k for k, v in wanted.items() if shape(loaded, k) != v.shape]
        if lacks:
            raise ValueError(
                f"'{self.weights}' does not fit timm's {self.model}: "
                f'{len(lacks)} entries are absent or of another shape, such '
                f'as {lacks[:3]}; name the model that it was saved from'
            )
        self.trunk.load_state_dict({k: loaded[k] for k in wanted})
        self._is_init = True

    def positions(self, grid: tuple[int, int]) -> Tensor | None:
        """Return position embeddings (1, L, C) for (h, w) patches."""
        table = getattr(self.trunk, 'pos_embed', None)
        native = tuple(self.trunk.patch_embed.grid_size)
        if table is None or tuple(grid) == native:
            return table
        prefix = table.shape[1] - native[0] * native[1]
        image = table[:, prefix:].transpose(1, 2).unflatten(2, native)
        image = F.interpolate(
            image.float(), grid, mode='bilinear', align_corners=False
        ).to(table.dtype)  # (1, C, h, w)
        places = image.flatten(2).transpose(1, 2)
        return torch.cat([table[:, :prefix], places], dim=1)

    def tokens(self, x: Tensor) -> list[Tensor]:
        """Return the outputs of the chosen blocks, each (B, L, C).

        Raises:
            ValueError: The sides are no multiples of the patch.
        """
        grid = self.grid(x)
        if (grid[0] * self.patch_size[0], grid[1] * self.patch_size[1]) != (
            tuple(x.shape[2:])
        ):
            raise ValueError(
                f'images of {tuple(x.shape[2:])} are not whole patches of '
                f'{self.patch_size}: mmclip.OpenVocabEncoderDecoder pads them '
                'where its size_divisor is a multiple of the patch'
            )
        positions = self.positions(grid)
        wanted = [self.trunk.blocks[k] for k in self.out_indices]
        if positions is None or positions is self.trunk.pos_embed:
            with outputs_of(wanted, stop=True) as kept:
                self.trunk(x)
        elif torch.jit.is_tracing():  # knows no functional_call
            with outputs_of(wanted, stop=True) as kept, self.at(positions):
                self.trunk(x)
        else:
            with outputs_of(wanted, stop=True) as kept:
                functional_call(self.trunk, {'pos_embed': positions}, (x,))
        return kept

    @contextmanager
    def at(self, positions: Tensor):
        """Make ``positions`` the trunk's own within the block."""
        own = self.trunk.pos_embed
        self.trunk.pos_embed = nn.Parameter(positions.detach())
        try:
            yield
        finally:
            self.trunk.pos_embed = own

    def grid(self, x: Tensor) -> tuple[int, int]:
        """Return how many whole patches (h, w) the images have."""
        return (
            int(x.shape[2]) // self.patch_size[0],
            int(x.shape[3]) // self.patch_size[1],
        )

    def forward(self, x: Tensor) -> tuple[tuple[Tensor, Tensor | None], ...]:
        """Return each chosen block as (map (B, C, h, w), class token (B, C)).

        The class token is None where the model has none.

        Args:
            x: Normalised images (B, 3, H, W).
        """
        prefix = getattr(self.trunk, 'num_prefix_tokens', 1)
        return tuple(
            (
                tokens[:, prefix:]
                .transpose(1, 2)
                .unflatten(2, self.grid(x)),  # (B, C, h, w)
                tokens[:, 0] if prefix else None,
            )
            for tokens in self.tokens(x)
        )


def shape(state: dict, key: str):
    """Return the shape of an entry, None where it is absent."""
    return state[key].shape if key in state else None
