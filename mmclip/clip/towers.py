"""Read features out of open_clip's own image towers, ViT and ResNet.

B images, C channels of a layer, D embedding width, h x w positions, L tokens
(one for the class and h x w for the positions).

Nothing of open_clip is copied: its own forward runs, position embeddings are
swapped for resized ones, and hooks take what lies on the way.

Convention: position (0, 0) is the top left; position embeddings are resized
bicubically with antialiasing and align_corners=False, as open_clip does when
it loads weights for another image size.
"""

from collections.abc import Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mmclip.clip.self_correlation import self_correlated


class EnoughError(Exception):
    """Ends a forward pass once the last wanted module has run."""


@contextmanager
def outputs_of(modules: Sequence[nn.Module], stop: bool = False):
    """Collect what ``modules`` return while the block runs.

    Args:
        modules: In the order in which they run.
        stop: Whether the pass ends after the last of them.

    Yields:
        A list that fills with their outputs.
    """
    kept = []

    def keep(module, _, output):
        kept.append(output)
        if stop and module is modules[-1]:
            raise EnoughError

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield kept
    except EnoughError:
        pass
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def inputs_to(module: nn.Module, stop: bool = False):
    """Collect what ``module`` is called with while the block runs.

    Args:
        module: Any; its first argument is kept.
        stop: Whether the pass ends before it runs.

    Yields:
        A list that fills with them.
    """
    kept = []

    def keep(_, args):
        kept.append(args[0])
        if stop:
            raise EnoughError

    handle = module.register_forward_pre_hook(keep)
    try:
        yield kept
    except EnoughError:
        pass
    finally:
        handle.remove()


@contextmanager
def arguments_to(modules: Sequence[nn.Module], **arguments):
    """Call ``modules`` with other keyword arguments while the block runs."""

    def exchange(_, args, kwargs):
        return args, {**kwargs, **arguments}

    handles = [
        module.register_forward_pre_hook(exchange, with_kwargs=True)
        for module in modules
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def resize_positions(embedding: Tensor, native, grid) -> Tensor:
    """Resize the position embeddings of a grid; the class token's stays.

    Args:
        embedding: Class token first, (1 + h0 * w0, C).
        native: (h0, w0).
        grid: The wanted (h, w).

    Returns:
        Embeddings (1 + h * w, C).
    """
    if tuple(native) == tuple(grid):
        return embedding
    token, places = embedding[:1], embedding[1:]
    image = places.t().reshape(1, -1, *native)  # (1, C, h0, w0)
    image = F.interpolate(
        image.float(), grid, mode='bicubic', antialias=True
    )  # (1, C, h, w)
    places = image.flatten(2)[0].t().to(embedding.dtype)
    return torch.cat([token, places])  # (1 + h * w, C)


def tokens_to_map(tokens: Tensor, grid) -> Tensor:
    """Lay tokens (B, 1 + h * w, C) out as a map (B, C, h, w)."""
    return tokens[:, 1:].transpose(1, 2).unflatten(2, tuple(grid))


def choose(indices: Sequence[int] | None, default, count: int) -> list[int]:
    """Return ascending layer indices, negative ones counted from the end.

    Raises:
        ValueError: An index is out of range.
    """
    chosen = list(default if indices is None else indices)
    if not chosen or any(not -count <= k < count for k in chosen):
        raise ValueError(
            f'out_indices={chosen}: this tower has the layers 0 to {count - 1}'
        )
    return sorted({k % count for k in chosen})


class ViTTower(nn.Module):
    """Wrap open_clip's ``VisionTransformer``; its layers are the blocks.

    Images whose sides are no multiple of the patch are padded with zeros at
    the right and bottom.
    """

    def __init__(self, visual: nn.Module, out_indices=None) -> None:
        super().__init__()
        self.visual = visual
        count = len(self.blocks)
        self.out_indices = choose(out_indices, [-1], count)
        self.out_channels = [visual.conv1.out_channels] * len(self.out_indices)
        self.strides = [visual.patch_size[0]] * len(self.out_indices)

    @property
    def region_stride(self) -> int:
        """Return the image pixels of a patch."""
        return self.visual.patch_size[0]

    @property
    def blocks(self) -> nn.ModuleList:
        """Return the transformer's blocks."""
        return self.visual.transformer.resblocks

    def run(self, x: Tensor):
        """Run open_clip's forward on images of any size."""
        high, wide = self.visual.patch_size
        x = F.pad(x, (0, -x.shape[3] % wide, 0, -x.shape[2] % high))
        positions = resize_positions(
            self.visual.positional_embedding,
            self.visual.grid_size,
            self.grid(x),
        )
        swapped = {'positional_embedding': positions}
        return functional_call(self.visual, swapped, (x,))

    def grid(self, x: Tensor) -> tuple[int, int]:
        """Return how many patches (h, w) cover the images."""
        high, wide = self.visual.patch_size
        return -(-x.shape[2] // high), -(-x.shape[3] // wide)

    def layers(self, x: Tensor) -> list[Tensor]:
        """Return the chosen blocks' positions, each (B, C, h, w)."""
        return [positions for positions, _ in self.layers_with_class(x)]

    def layers_with_class(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return ``layers``, each with its class token (B, C)."""
        wanted = [self.blocks[k] for k in self.out_indices]
        with outputs_of(wanted, stop=True) as tokens:
            self.run(x)
        return [(tokens_to_map(t, self.grid(x)), t[:, 0]) for t in tokens]

    def pooled(self, x: Tensor) -> Tensor:
        """Return the image embeddings (B, D)."""
        out = self.run(x)
        return out[0] if self.visual.output_tokens else out

    def dense(self, x: Tensor, attention: str = 'values') -> Tensor:
        """Return each position's own value in the text space (B, D, h, w).

        In the last block every token attends to itself alone, which leaves
        the value path (MaskCLIP, sec. 3.3), or with ``'self'`` to those like
        it (SCLIP, sec. 3.2).
        """
        with inputs_to(self.blocks[-1], stop=True) as tokens:
            self.run(x)
        return self.values(tokens[0], self.grid(x), attention)

    def values(self, tokens: Tensor, grid, attention='values') -> Tensor:
        """Run the last block on (B, L, C) with such attention: (B, D, h, w).

        ``'values'`` leaves each token alone.
        """
        if self.visual.attn_pool is not None:
            raise ValueError(
                'this tower pools with learned queries (CoCa), so its '
                'positions have no projection to the text space of their own'
            )
        count = tokens.shape[1]
        alone = tokens.new_full((count, count), -torch.inf).fill_diagonal_(0)
        if attention == 'self':
            out = self_correlated(self.blocks[-1], tokens)
        else:
            out = self.blocks[-1](tokens, attn_mask=alone)
        out = self.visual.ln_post(out)
        if self.visual.proj is not None:
            out = out @ self.visual.proj
        return tokens_to_map(out, grid)

    def with_regions(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return ``layers`` and a map to pool regions from, in one pass.

        The map is ``dense`` (B, D, h, w): only the last block runs twice.
        """
        *before, last = self.blocks
        wanted = [before[k] for k in self.out_indices if k < len(before)]
        with outputs_of(wanted) as tokens, inputs_to(last, True) as entered:
            self.run(x)
        grid = self.grid(x)
        if self.out_indices[-1] == len(before):
            tokens.append(last(*entered))
        layers = [tokens_to_map(t, grid) for t in tokens]
        return layers, self.values(*entered, grid)

    def embed_regions(self, maps: Tensor) -> Tensor:
        """Average the embeddings of a region (R, D, s, s) into (R, D)."""
        return maps.mean(dim=(2, 3))

    def attention(self, x: Tensor) -> list[Tensor]:
        """Return every block's attention (B, heads, L, L), L = 1 + h * w."""
        pools = [block.attn for block in self.blocks]
        if not all(isinstance(p, nn.MultiheadAttention) for p in pools):
            raise ValueError(
                f'the attention of {type(pools[0]).__name__} cannot be read: '
                'this tower normalises queries or scales heads'
            )
        each = dict(need_weights=True, average_attn_weights=False)
        with arguments_to(pools, **each), outputs_of(pools, True) as outputs:
            self.run(x)
        return [weights for _, weights in outputs]


class ResNetTower(nn.Module):
    """Wrap open_clip's ``ModifiedResNet``; layers 0 to 3 are layer1 to 4."""

    region_stride = 32

    def __init__(self, visual: nn.Module, out_indices=None) -> None:
        super().__init__()
        self.visual = visual
        self.out_indices = choose(out_indices, range(4), 4)
        stages = [self.stages[k] for k in self.out_indices]
        self.out_channels = [s[-1].conv3.out_channels for s in stages]
        self.strides = [4 << k for k in self.out_indices]

    @property
    def stages(self) -> list[nn.Module]:
        """Return layer1 to layer4."""
        return [getattr(self.visual, f'layer{k}') for k in (1, 2, 3, 4)]

    def layers(self, x: Tensor) -> list[Tensor]:
        """Return the chosen stages' maps, each (B, C, h, w)."""
        return self.run(x, self.out_indices)

    def run(self, x: Tensor, indices: Sequence[int] = (3,)) -> list[Tensor]:
        """Run the stages and return the outputs of some."""
        wanted = [self.stages[k] for k in indices]
        with outputs_of(wanted, stop=True) as maps:
            self.visual(x)
        return maps

    def positions(self, grid) -> Tensor:
        """Return the pool's position embeddings for (h, w), (L, C)."""
        embedding = self.visual.attnpool.positional_embedding
        side = round((len(embedding) - 1) ** 0.5)
        return resize_positions(embedding, (side, side), grid)

    def pooled(self, x: Tensor) -> Tensor:
        """Return the image embeddings (B, D)."""
        return self.embed_regions(*self.run(x))

    def with_regions(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return ``layers`` and layer4, to pool regions from, in one pass."""
        maps = self.run(x, sorted({*self.out_indices, 3}))
        return maps[: len(self.out_indices)], maps[-1]

    def embed_regions(self, maps: Tensor) -> Tensor:
        """Pool maps of layer4 (R, C, s, s) by attention into (R, D)."""
        pool = self.visual.attnpool
        positions = self.positions(maps.shape[2:])
        if positions is pool.positional_embedding:  # can also be traced
            return pool(maps)
        swapped = {'positional_embedding': positions}
        return functional_call(pool, swapped, (maps,))

    def tokens(self, features: Tensor) -> Tensor:
        """Return what the pool attends to: mean, then positions, (B, L, C)."""
        places = features.flatten(2).transpose(1, 2)  # (B, h * w, C)
        mean = places.mean(dim=1, keepdim=True)
        grid = features.shape[2:]
        return torch.cat([mean, places], dim=1) + self.positions(grid)

    def dense(self, x: Tensor) -> Tensor:
        """Return the values that the pool averages, (B, D, h, w)."""
        (features,) = self.run(x)
        pool = self.visual.attnpool
        values = pool.c_proj(pool.v_proj(self.tokens(features)))  # (B, L, D)
        return tokens_to_map(values, features.shape[2:])

    def attention(self, x: Tensor) -> list[Tensor]:
        """Return the pool's attention, [(B, heads, L, L)]."""
        (features,) = self.run(x)
        pool = self.visual.attnpool
        tokens = self.tokens(features)
        query, key = (
            project(tokens).unflatten(2, (pool.num_heads, -1)).transpose(1, 2)
            for project in (pool.q_proj, pool.k_proj)
        )  # (B, heads, L, C / heads)
        scores = query @ key.mT / query.shape[-1] ** 0.5
        return [scores.softmax(dim=-1)]
