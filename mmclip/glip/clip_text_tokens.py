"""A CLIP's text tower as GLIP's language model: a feature for every token.

B captions, L tokens, C width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmclip.clip.text import CausalTextTower, text_tower
from mmclip.clip.weights import load_clip
from mmclip.glip.bert import language_features
from mmclip.glip.tokenizer import CLIPSpanTokenizer
from mmclip.registry import MODELS


@MODELS.register_module()
class CLIPTextTokens(BaseModule):
    """Read captions with the text tower of a CLIP, without pooling.

    Args:
        model: ``'shapes-clip'``, an open_clip name or config dict, or a built
            model.
        pretrained: As in :func:`mmclip.clip.weights.load_clip`.
        max_tokens: Most tokens of a caption; by default the tower's context.
            For more, positions are interpolated, as microsoft/GLIP does for
            its 256.
        causal: Whether a token reads only those before it, as CLIP was
            trained; microsoft/GLIP lets it read all.
        truncate: Whether a longer caption is cut instead of refused.
        frozen: Whether it stays in eval mode and gets no gradient.
        init_cfg: As for mmengine's BaseModule.

    Raises:
        ValueError: The tower is not of the causal kind.
    """

    def __init__(
        self,
        model: str | dict | nn.Module = 'shapes-clip',
        pretrained: str | None = None,
        *,
        max_tokens: int | None = None,
        causal: bool = True,
        truncate: bool = False,
        frozen: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        own = None
        if not isinstance(model, nn.Module):
            model, own = load_clip(model, pretrained, truncate=True)
        self.tower = text_tower(model)
        if not isinstance(self.tower, CausalTextTower):
            raise ValueError(
                f'the text tower {type(self.tower).__name__} is not of '
                "CLIP's causal kind: choose another model"
            )
        self.max_tokens = max_tokens or self.tower.context_length
        self.language_dim = self.tower.token_embedding.embedding_dim
        self.tokenizer = CLIPSpanTokenizer(
            own, max_tokens=self.max_tokens, truncate=truncate
        )
        self.causal, self.frozen = causal, frozen
        self.requires_grad_(not frozen)
        self.train(not frozen)

    def train(self, mode: bool = True):
        """Set the mode; a frozen tower stays in eval mode."""
        return super().train(mode and not self.frozen)

    def positions(self, length: int) -> Tensor:
        """Return position embeddings (length, C)."""
        table = self.tower.positional_embedding
        if self.max_tokens > len(table):
            table = F.interpolate(
                table.t()[None],
                self.max_tokens,
                mode='linear',
                align_corners=False,
            )[0].t()
        return table[:length]

    def forward(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Read B captions; see :func:`mmclip.glip.bert.language_features`."""
        tower = self.tower
        ids, masks = self.tokenizer(list(texts))  # (B, L)
        device = tower.token_embedding.weight.device
        ids, masks = ids.to(device), masks.to(device)
        with torch.set_grad_enabled(
            torch.is_grad_enabled() and not self.frozen
        ):
            x = tower.token_embedding(ids) + self.positions(ids.shape[1])
            x = tower.transformer(x, attn_mask=self.hidden(masks, x))
            x = tower.ln_final(x)  # (B, L, C)
        return language_features(x, masks)

    def hidden(self, masks: Tensor, like: Tensor) -> Tensor:
        """Return what attention adds to its scores.

        Padding stands behind a caption, so a causal mask hides it too.
        """
        length = masks.shape[1]
        low = torch.finfo(like.dtype).min
        if self.causal:
            later = like.new_full((length, length), low)
            return later.triu(1)
        block = next(iter(self.tower.transformer.resblocks))
        hidden = like.new_zeros(masks.shape).masked_fill(~masks, low)
        hidden = hidden[:, None].expand(-1, length, -1)  # (B, L, L)
        return hidden.repeat_interleave(block.attn.num_heads, dim=0)
