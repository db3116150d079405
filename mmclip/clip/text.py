"""Encode sentences with the text tower of a CLIP.

N sentences, L positions, D embedding width.
"""

import hashlib
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmclip.clip.tokenizer import CLIPTokenizer, cut_to_longest
from mmclip.clip.weights import load_clip, weights_fingerprint
from mmclip.registry import MODELS


class CausalTextTower(nn.Module):
    """Hold the text half of an open_clip model that reads left to right.

    open_clip adds all 77 positions to every sentence; nothing after the end
    token reaches the result, so this tower also takes shorter ids. Its
    parameter names are OpenAI's (``transformer.resblocks.0...``).

    Args:
        source: An open_clip ``CLIP`` or ``TextTransformer``; its modules are
            shared, not copied.
    """

    def __init__(self, source: nn.Module) -> None:
        super().__init__()
        self.pool = pool_type(source)
        self.end_id = getattr(source, 'text_eos_id', None)
        if self.end_id is None:
            self.end_id = getattr(source, 'eos_id', None)
        self.positional_embedding = source.positional_embedding  # (L, width)
        self.text_projection = source.text_projection
        self.transformer = source.transformer
        self.token_embedding = source.token_embedding
        self.ln_final = source.ln_final
        self.register_buffer('attn_mask', source.attn_mask, persistent=False)

    @property
    def context_length(self) -> int:
        """Return how many positions the tower reads."""
        return len(self.positional_embedding)

    def forward(self, ids: Tensor) -> Tensor:
        """Embed token ids (N, L), L at most the context: (N, D)."""
        length = ids.shape[1]
        dtype = self.transformer.get_cast_dtype()
        x = self.token_embedding(ids) + self.positional_embedding[:length]
        mask = self.attn_mask[:length, :length]
        x = self.transformer(x.to(dtype), attn_mask=mask)  # (N, L, width)
        x = self.ln_final(x)[torch.arange(len(ids)), self.end(ids)]
        if self.text_projection is None:
            return x
        if isinstance(self.text_projection, nn.Linear):
            return self.text_projection(x)
        return x @ self.text_projection  # (N, D)

    def end(self, ids: Tensor) -> Tensor:
        """Return where each sentence's end token stands, (N,)."""
        if self.pool == 'eos':
            return (ids == self.end_id).int().argmax(dim=-1)
        return ids.argmax(dim=-1)  # the end token has the highest id


def pool_type(source: nn.Module) -> str:
    """Return how an open_clip model pools its text."""
    return getattr(source, 'text_pool_type', None) or source.pool_type


def text_tower(source: nn.Module) -> nn.Module:
    """Take the text half out of an open_clip model.

    Args:
        source: An open_clip ``CLIP``, ``CustomTextCLIP`` or text tower.

    Returns:
        A :class:`CausalTextTower` where the tower is causal and pools at the
        end token; otherwise the model's own tower, which needs ids of the
        full context.
    """
    source = getattr(source, 'text', source)
    causal = (
        getattr(source, 'attn_mask', None) is not None
        and getattr(source, 'cls_emb', None) is None
        and pool_type(source) in ('argmax', 'eos')
    )
    return CausalTextTower(source) if causal else source


def check_table(tower: nn.Module, tokenizer) -> None:
    """Refuse CLIP's tokenizer for a tower with fewer rows than its ids.

    Raises:
        ValueError: The token table is too small.
    """
    table = getattr(tower, 'token_embedding', None)
    if table is None or not isinstance(tokenizer, CLIPTokenizer):
        return
    needed = tokenizer.bpe.vocab_size
    if table.num_embeddings < needed:
        raise ValueError(
            f'the text tower knows {table.num_embeddings} tokens but the '
            f"ids of CLIP's tokenizer reach {needed - 1}: pass the one it "
            f'was made with, or vocab_size={needed} in text_cfg'
        )


@MODELS.register_module()
class CLIPTextEncoder(nn.Module):
    """Encode sentences into unit embeddings.

    Args:
        model: ``'shapes-clip'``, an open_clip model name or config dict, or
            a built open_clip model or text tower.
        pretrained: Tag, local file or ``None``, as in
            :func:`mmclip.clip.weights.load_clip`; unused for a built model.
        tokenizer: Turns a list of strings into ids (N, L); ``None`` takes the
            model's own, or CLIP's for a built model.
        frozen: Whether the tower stays in eval mode and gets no gradient.
        truncate: Whether CLIP's tokenizer cuts too long sentences instead of
            refusing them.
    """

    def __init__(
        self,
        model: str | dict | nn.Module = 'shapes-clip',
        pretrained: str | None = None,
        *,
        tokenizer=None,
        frozen: bool = True,
        truncate: bool = False,
    ) -> None:
        super().__init__()
        own = None
        if not isinstance(model, nn.Module):
            model, own = load_clip(model, pretrained, truncate=truncate)
        self.tower = text_tower(model)
        self.tokenizer = (
            tokenizer
            or own
            or CLIPTokenizer(
                context_length=self.tower.context_length, truncate=truncate
            )
        )
        check_table(self.tower, self.tokenizer)
        self.frozen = frozen
        self.requires_grad_(not frozen)
        self.train(not frozen)

    def train(self, mode: bool = True):
        """Set the mode; a frozen encoder stays in eval mode."""
        return super().train(mode and not self.frozen)

    def forward(self, ids: Tensor) -> Tensor:
        """Embed token ids.

        Args:
            ids: Ids of N sentences (N, L), zero-padded.

        Returns:
            Unit embeddings (N, D), float32.
        """
        if isinstance(self.tower, CausalTextTower):
            ids = cut_to_longest(ids)
        return F.normalize(self.tower(ids).float(), dim=-1)

    def encode(
        self,
        sentences: Sequence[str],
        *,
        batch_size: int = 256,
        progress: bool = False,
    ) -> Tensor:
        """Embed sentences, each once and the short ones together.

        Args:
            sentences: N of them.
            batch_size: How many go through the tower at a time.
            progress: Whether a bar is shown.

        Returns:
            Unit embeddings (N, D), float32, on the tower's device.

        Raises:
            ValueError: There is no sentence, or one is too long.
        """
        if isinstance(sentences, str) or len(sentences) == 0:
            raise ValueError(
                'encode takes a list of at least one sentence, got '
                f'{sentences!r}'
            )
        unique = list(dict.fromkeys(sentences))
        ids = self.tokenizer(unique)  # (U, L)
        order = (ids != 0).sum(dim=1).argsort()
        batches = order.split(batch_size)
        device = next(self.tower.parameters()).device
        with torch.set_grad_enabled(
            not self.frozen and torch.is_grad_enabled()
        ):
            parts = [
                self(ids[rows].to(device)) for rows in bar(batches, progress)
            ]
        rank = dict(
            zip((unique[i] for i in order.tolist()), range(len(order)))
        )
        rows = torch.tensor([rank[s] for s in sentences], device=device)
        return torch.cat(parts)[rows]  # (N, D)

    def fingerprint(self) -> str:
        """Return a sha256 over the tower's names, shapes and values."""
        digest = hashlib.sha256()
        for name, value in self.tower.state_dict().items():
            digest.update(
                f'{name} {tuple(value.shape)} {value.dtype}'.encode()
            )
            raw = value.detach().cpu().contiguous().reshape(-1)
            digest.update(raw.view(torch.uint8).numpy())
        return digest.hexdigest()

    @staticmethod
    def config_fingerprint(
        model: str | dict = 'shapes-clip',
        pretrained: str | None = None,
        *,
        tokenizer=None,
        frozen: bool = True,
        truncate: bool = False,
    ) -> str | None:
        """Identify the encoder that a config describes, without building it.

        Returns:
            A text that changes with the weights and the tokenisation, or
            ``None`` where only the built encoder can tell.
        """
        given = isinstance(model, nn.Module) or tokenizer is not None
        if given or not frozen:
            return None
        weights = weights_fingerprint(model, pretrained)
        return weights and f'{weights} truncate={truncate}'


def bar(batches: Sequence, shown: bool) -> Iterable:
    """Wrap ``batches`` in a progress bar if it is to be shown."""
    if not shown:
        return batches
    from rich.progress import track

    return track(batches, description='encoding text')
