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
    return scores.masked_fill(~mask, float("-inf")).softmax(dim=-1)


def masked_mean(tiles: Tensor, mask: Tensor) -> Tensor:
    """Mean over the unmasked tiles, (B,N,k) to (B,k); zeros where there is none."""
    total = tiles.masked_fill(~mask.unsqueeze(-1), 0.0).sum(dim=1, dtype=torch.float64)
    return (total / mask.sum(dim=1, keepdim=True).clamp(min=1)).to(tiles.dtype)


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

    def forward(self, tokens: Tensor, mask: Tensor, keys: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B,N,width) to the pooled (B,width) and the attention (B,N), which sums to 1 over unmasked tokens.

        keys : (B,N,width) that the attention is computed from; the tokens themselves by default.
        """
        keys = tokens if keys is None else keys
        scores = self.score(torch.tanh(self.value(keys)) * torch.sigmoid(self.gate(keys))).squeeze(-1)
        attention = masked_softmax(scores, mask)
        return torch.einsum("bn,bnw->bw", attention, tokens), attention


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

    def forward(self, query: Tensor, context: Tensor, context_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (B,Q,width) on a context (B,K,width) with mask (B,K).

        Returns the queries enriched, (B,Q,width), and the attention (B,heads,Q,K).
        """
        normed = self.norm_context(context)
        q = self._split(self.query(self.norm_query(query)))
        k, v = (self._split(part) for part in self.key_value(normed).chunk(2, dim=-1))
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
