"""GroupViT's text encoder: CLIP's transformer, smaller and unprojected."""

from open_clip.transformer import QuickGELU, TextTransformer
from torch import Tensor

from mmclip.clip.text import CausalTextTower
from mmclip.clip.tokenizer import cut_to_longest
from mmclip.registry import MODELS


@MODELS.register_module()
class GroupViTTextEncoder(CausalTextTower):
    """Read sentences left to right; the end token's feature is theirs.

    GroupViT, sec. 3.3; the defaults are those of the published models.

    Args:
        context_length: Positions.
        vocab_size: Tokens.
        embed_dims: Width.
        layers: Transformer blocks.
        num_heads: Attention heads; ``None`` gives one to each 64 of width.
    """

    def __init__(
        self,
        context_length: int = 77,
        vocab_size: int = 49408,
        embed_dims: int = 256,
        layers: int = 12,
        num_heads: int | None = None,
    ) -> None:
        source = TextTransformer(
            context_length=context_length,
            vocab_size=vocab_size,
            width=embed_dims,
            heads=num_heads or max(embed_dims // 64, 1),
            layers=layers,
            proj_type='none',
            act_layer=QuickGELU,
            pool_type='argmax',
        )
        super().__init__(source)
        self.embed_dims = embed_dims

    def forward(self, ids: Tensor) -> Tensor:
        """Embed token ids padded with 0, (N, L): (N, embed_dims)."""
        return super().forward(cut_to_longest(ids))
