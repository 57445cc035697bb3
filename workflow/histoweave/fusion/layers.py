"""Building blocks: tile tokens, gene tokens, attention pooling, cross-attention. Masks are True where a token counts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def normal(*size: int, scale: float = 1.0) -> Tensor:
    """Values to start from, normal with mean 0 and standard deviation `scale`, from torch's global generator.

    On the device `meta`, where a model is built for its sizes alone, nothing is drawn: torch would import its compiler for
    it, which takes up to a second of every job that loads a model.
    """
    values = torch.empty(size)
    return values if values.is_meta else values.normal_().mul_(scale)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last axis that gives masked positions exactly 0; each row needs one unmasked position."""
    return torch.where(mask, scores, float("-inf")).softmax(dim=-1)


def mask_or_first(mask: Tensor, there: Tensor) -> Tensor:
    """The mask (B,N), with the first position alone for those who have none: `there` (B,) is False."""
    first = torch.arange(mask.shape[1], device=mask.device) == 0
    return torch.where(there[:, None], mask, first)


def masked_mean(tiles: Tensor, mask: Tensor) -> Tensor:
    """Mean over the unmasked tiles, (B,N,k) to (B,k); zeros where there is none. One bag (1,N,k) may have many masks (B,N)."""
    there = mask.any(dim=0, keepdim=True) if len(tiles) < len(mask) else mask
    total = mask.double().unsqueeze(1) @ tiles.masked_fill(~there.unsqueeze(-1), 0.0).double()
    return (total.squeeze(1) / mask.sum(dim=1, keepdim=True).clamp(min=1)).to(tiles.dtype)


class TileTokens(nn.Module):
    """One token per tile: (B,N,k) features to (B,N,width)."""

    def __init__(self, n_features: int, *, width: int, dropout: float):
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(dropout), nn.Linear(n_features, width), nn.LayerNorm(width), nn.GELU())

    def forward(self, tiles: Tensor, mask: Tensor) -> Tensor:
        # Padding may hold anything: 0 × NaN would survive the attention weights of 0.
        return self.layers(tiles.masked_fill(~mask.unsqueeze(-1), 0.0))


class GeneTokens(nn.Module):
    """One token per gene group, by a linear map of its own from the group's genes: (B,G) to (B,T,width).

    groups : of each of the G genes, numbered from 0.
    """

    def __init__(self, groups: Sequence[int], *, width: int, dropout: float):
        super().__init__()
        n_tokens = max(groups) + 1
        directions = normal(n_tokens, width)
        membership, weight = torch.empty(n_tokens, len(groups)), torch.empty(len(groups), width)
        if not weight.is_meta:  # as in `normal`
            group = torch.tensor(groups)
            membership = (torch.arange(n_tokens).unsqueeze(1) == group).float()
            # The genes of a group start with one shared direction: the token begins as the group's mean, a metagene.
            weight = directions[group] / membership.sum(dim=1)[group].unsqueeze(-1)
        self.register_buffer("membership", membership, persistent=False)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(normal(n_tokens, width, scale=0.5))
        self.dropout = nn.Dropout(dropout)
        self.finish = nn.GELU()

    @property
    def n_tokens(self) -> int:
        """Number of gene tokens."""
        return len(self.bias)

    def forward(self, genes: Tensor) -> Tensor:
        grouped = self.dropout(genes).unsqueeze(1) * self.membership
        return self.finish(grouped @ self.weight + self.bias)


class GatedAttentionPool(nn.Module):
    """Weighted mean of tokens; gated attention of Ilse, Tomczak and Welling (2018), equation 9."""

    def __init__(self, width: int):
        super().__init__()
        self.value = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        self.score = nn.Linear(width, 1, bias=False)

    def scores(self, tokens: Tensor) -> Tensor:
        """What the attention on each token is computed from, (B,N)."""
        return self.score(torch.tanh(self.value(tokens)) * torch.sigmoid(self.gate(tokens))).squeeze(-1)

    def forward(self, tokens: Tensor, mask: Tensor, scores: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B,N,width) to the pooled (B,width) and the attention (B,N), which sums to 1 over unmasked tokens.

        scores : (B,N), if they are not those of these tokens.
        """
        attention = masked_softmax(self.scores(tokens) if scores is None else scores, mask)
        return (attention.unsqueeze(1) @ tokens).squeeze(1), attention


class CrossAttention(nn.Module):
    """Pre-norm multi-head attention of queries on a context, with a residual: the query is never lost."""

    def __init__(self, width: int, *, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm_query = nn.LayerNorm(width)
        self.norm_context = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def queries(self, query: Tensor) -> Tensor:
        """What tokens (B,Q,width) ask with: (B,heads,Q,width/heads)."""
        return self._split(self.query(self.norm_query(query)))

    def keys_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """What tokens (B,K,width) are asked by, and what they answer: (B,heads,K,width/heads) each."""
        keys, values = self.key_value(self.norm_context(context)).chunk(2, dim=-1)
        return self._split(keys), self._split(values)

    def forward(self, query: Tensor, context: Tensor, context_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B,Q,width) on a context (B,K,width) with mask (B,K).

        Returns the tokens enriched, (B,Q,width), and the attention (B,heads,Q,K).
        """
        return self.attend(query, self.queries(query), self.keys_values(context), context_mask)

    def attend(
        self, query: Tensor, q: Tensor, keys_values: tuple[Tensor, Tensor], context_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The same from the tokens' `queries` and the `keys_values` of the context."""
        k, v = keys_values
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        attention = masked_softmax(scores, context_mask[:, None, None, :])
        mixed = (attention @ v).transpose(1, 2).flatten(2)
        query = query + self.dropout(self.out(mixed))
        return query + self.dropout(self.feed_forward(query)), attention

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def head(width: int, *, n_classes: int, dropout: float) -> nn.Sequential:
    """The last layers: (B,width) to logits (B,C)."""
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(width, n_classes))


class GeneShortcut(nn.Module):
    """A linear path from all genes to the logits, zero at the start: what a linear model can say need not be learned
    through the tokens."""

    def __init__(self, n_genes: int, *, n_classes: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(n_genes, n_classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, genes: Tensor) -> Tensor:
        return self.linear(self.dropout(genes))
