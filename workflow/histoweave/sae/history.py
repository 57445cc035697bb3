"""What is written down while a sparse autoencoder is fitted."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

COLUMNS = {
    "step": "int64", "tokens": "int64", "explained_variance": "float64", "l0": "float64", "dead": "int64",
    "revival_loss": "float64", "learning_rate": "float64",
}  # fmt: skip
_ROWS = 100


@dataclass
class Seen:
    """Sums over tokens: how many, ||x'||², ||x' − x̂'||², the loss of dead latents, and how many fire each latent."""

    fired: Tensor
    tokens: int = 0
    squares: float = 0.0
    squared_errors: float = 0.0
    revival: float = 0.0

    @classmethod
    def nothing(cls, n_latents: int, device: torch.device) -> Seen:
        """Of no token."""
        return cls(torch.zeros(n_latents, dtype=torch.int64, device=device))

    def add(self, other: Seen) -> None:
        """Count the tokens of `other` too."""
        self.fired += other.fired
        self.tokens += other.tokens
        self.squares += other.squares
        self.squared_errors += other.squared_errors
        self.revival += other.revival


class History:
    """About a hundred rows over `n_steps` steps, and who fired over the last `n_counted` of `n_tokens` tokens."""

    def __init__(self, n_latents: int, device: torch.device, *, n_steps: int, n_tokens: int, n_counted: int):
        self.n_steps = n_steps
        self._interval = max(1, n_steps // _ROWS)
        self._empty = lambda: Seen.nothing(n_latents, device)
        self._count_from = n_tokens - n_counted
        self._step = self._tokens = 0
        self._since_row = self._empty()
        self._counted = self._empty()
        self._rows: list[dict] = []

    def add(self, seen: Seen, *, n_dead: int, learning_rate: float) -> None:
        """Write down a step."""
        self._step += 1
        self._tokens += seen.tokens
        self._since_row.add(seen)
        if self._tokens > self._count_from:
            self._counted.add(seen)
        if self._step % self._interval == 0 or self._step == self.n_steps:
            since = self._since_row
            self._rows.append({
                "step": self._step,
                "tokens": self._tokens,
                "explained_variance": 1 - since.squared_errors / since.squares,
                "l0": int(since.fired.sum()) / since.tokens,
                "dead": n_dead,
                "revival_loss": since.revival / since.squares,
                "learning_rate": learning_rate,
            })  # fmt: skip
            self._since_row = self._empty()

    def table(self) -> pd.DataFrame:
        """The rows, with `COLUMNS`."""
        return pd.DataFrame(self._rows, columns=list(COLUMNS)).astype(COLUMNS)

    def firing(self) -> Tensor:
        """Share of the counted tokens that fired each latent, (L,) float32."""
        return (self._counted.fired.double() / self._counted.tokens).float()
