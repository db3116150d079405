"""Re-state the order of operations in which LSeg's release segments.

Written from a description, over the weights of our own model: position
embeddings are resized at each forward pass, attention keeps its matrix, each
fusion enlarges before its 1 x 1 convolution, all pixels are normalised and
scaled before the product, all names are enlarged before the best is taken,
and the names are encoded again with all 77 positions.

The release multiplies in half precision on the GPU; here the product is in
the precision of the rest.

B images, L tokens, C width, K names, D embedding width, h x w positions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PublishedLSeg:
    """Segment with the weights of an LSeg model, in the published order.

    Args:
        model: Our model: a ViT with read-out, no spatial block.
    """

    def __init__(self, model) -> None:
        self.trunk = model.backbone.trunk
        self.hooks = model.backbone.out_indices
        self.neck, self.head = model.neck, model.decode_head
        self.activations: dict[int, Tensor] = {}  # outlive the pass

    def __call__(self, image: Tensor, texts: Tensor) -> Tensor:
        """Return scores (B, K, H, W).

        Args:
            image: Normalised images (B, 3, H, W).
            texts: Text embeddings (K, D).
        """
        grid = self.run_blocks(image)
        layers = [
            self.reassemble(level, self.activations[k], grid)
            for level, k in zip(self.neck.reassemble, self.hooks)
        ]
        path = self.fuse(layers)
        features = self.head.project(path)
        shape = features.shape
        features = features.permute(0, 2, 3, 1).reshape(-1, shape[1])
        features = features / features.norm(dim=-1, keepdim=True)
        texts = texts / texts.norm(dim=-1, keepdim=True)
        scores = self.head.logit_scale * features @ texts.t()
        scores = scores.view(shape[0], *shape[2:], -1).permute(0, 3, 1, 2)
        return double(scores)

    def run_blocks(self, image: Tensor) -> tuple[int, int]:
        """Fill ``activations``; return how many patches (h, w) there are."""
        patch = self.trunk.patch_embed.proj
        x = patch(image)  # (B, C, h, w)
        grid = tuple(x.shape[2:])
        x = x.flatten(2).transpose(1, 2)
        token = self.trunk.cls_token.expand(len(x), -1, -1)
        x = torch.cat([token, x], dim=1) + self.positions(grid)
        for index, block in enumerate(self.trunk.blocks):
            x = x + attend(block.attn, block.norm1(x))
            hidden = block.mlp.fc1(block.norm2(x))
            x = x + block.mlp.fc2(F.gelu(hidden))
            if index in self.hooks:
                self.activations[index] = x
        return grid

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Resize the position embeddings, (1, L, C)."""
        table = self.trunk.pos_embed
        native = self.trunk.patch_embed.grid_size
        image = table[:, 1:].reshape(1, *native, -1).permute(0, 3, 1, 2)
        image = F.interpolate(image, grid, mode='bilinear')
        return torch.cat([table[:, :1], image.flatten(2).mT], dim=1)

    def reassemble(self, level, tokens: Tensor, grid) -> Tensor:
        """Make one level of the pyramid of a block's tokens (B, L, C)."""
        patches = tokens[:, 1:]
        token = tokens[:, :1].expand_as(patches)
        mixed = level.readout(torch.cat([patches, token], dim=-1))
        return level.resize(level.project(mixed.mT.unflatten(2, grid)))

    def fuse(self, layers) -> Tensor:
        """Fuse the pyramid, deepest first."""
        maps = [conv(x) for conv, x in zip(self.neck.lateral, layers)]
        path = None
        for fusion, skip in zip(self.neck.fusion[::-1], maps[::-1]):
            if path is None:
                path = skip
            else:
                path = path + residual(fusion.res_conv_unit1, skip)
            path = double(residual(fusion.res_conv_unit2, path))
            path = fusion.project(path)
        return path


def attend(attention, x: Tensor) -> Tensor:
    """Attend with the whole matrix in memory, (B, L, C)."""
    heads = attention.num_heads
    qkv = attention.qkv(x).unflatten(2, (3, heads, -1))
    q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, L, C / heads)
    shares = (q @ k.mT * q.shape[-1] ** -0.5).softmax(dim=-1)
    return attention.proj((shares @ v).transpose(1, 2).flatten(2))


def residual(unit, x: Tensor) -> Tensor:
    """Run a residual unit: (ReLU, convolution, norm) twice."""
    out = unit.conv1.bn(unit.conv1.conv(F.relu(x)))
    return unit.conv2.bn(unit.conv2.conv(F.relu(out))) + x


def double(x: Tensor) -> Tensor:
    """Double both sides."""
    return F.interpolate(
        x, scale_factor=2, mode='bilinear', align_corners=True
    )


class TextTower(nn.Module):
    """Encode token ids as CLIP's ViT-B/32 does, all positions of them.

    Args:
        width: Of the tokens, and of the embeddings.
        layers: Blocks.
        words: Ids that there are.
        length: Positions.
    """

    def __init__(
        self,
        width: int = 512,
        layers: int = 12,
        words: int = 49408,
        length: int = 77,
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.places = nn.Parameter(torch.randn(length, width) * 0.01)
        self.blocks = nn.ModuleList(TextBlock(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, width, bias=False)
        mask = torch.full((length, length), -torch.inf).triu(1)
        self.register_buffer('mask', mask)

    def forward(self, ids: Tensor) -> Tensor:
        """Return embeddings (K, D) of ids (K, length)."""
        x = self.words(ids) + self.places
        for block in self.blocks:
            x = block(x, self.mask)
        last = x[torch.arange(len(x)), ids.argmax(dim=1)]
        return self.project(self.norm(last))


class TextBlock(nn.Module):
    """One block of the text tower."""

    def __init__(self, width: int) -> None:
        super().__init__()
        heads = max(width // 64, 1)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.grow = nn.Linear(width, 4 * width)
        self.shrink = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return (K, length, width)."""
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False, attn_mask=mask)[0]
        hidden = self.grow(self.norm2(x))
        return x + self.shrink(hidden * torch.sigmoid(1.702 * hidden))
