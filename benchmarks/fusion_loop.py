"""The loop of the field: every bag is read from HDF5 in every epoch, gated attention in float32, a batch of one.

Sizes as CLAM's small model has them (Lu et al., Nature Biomedical Engineering 2021): 512 and 256 hidden units, dropout 0.25.
"""

from __future__ import annotations

import time
from typing import Any

import h5py
import torch
from torch import nn

HIDDEN, ATTENTION, DROPOUT = 512, 256, 0.25


class GatedAttention(nn.Module):
    """Features (N,D) of one bag to logits (1,C)."""

    def __init__(self, dim: int, n_classes: int):
        super().__init__()
        self.tokens = nn.Sequential(nn.Linear(dim, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT))
        self.value = nn.Sequential(nn.Linear(HIDDEN, ATTENTION), nn.Tanh(), nn.Dropout(DROPOUT))
        self.gate = nn.Sequential(nn.Linear(HIDDEN, ATTENTION), nn.Sigmoid(), nn.Dropout(DROPOUT))
        self.score = nn.Linear(ATTENTION, 1)
        self.head = nn.Linear(HIDDEN, n_classes)

    def forward(self, bag: torch.Tensor) -> torch.Tensor:
        tokens = self.tokens(bag)
        weights = self.score(self.value(tokens) * self.gate(tokens)).softmax(dim=0)
        return self.head((weights * tokens).sum(dim=0, keepdim=True))


def loop(files: dict[str, list[tuple[str, int]]], dim: int, device: str, n_epochs: int) -> dict[str, Any]:
    """Seconds per epoch: training on the bags of `train`, then the loss on those of `val`; files with label codes."""
    torch.manual_seed(0)
    network = GatedAttention(dim, 2).to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-4, weight_decay=1e-5)

    def loss_of(path: str, label: int) -> torch.Tensor:
        with h5py.File(path) as file:
            bag = torch.from_numpy(file["features"][:]).float().to(device)
        return nn.functional.cross_entropy(network(bag), torch.tensor([label], device=device))

    started = time.perf_counter()
    for _ in range(n_epochs):
        network.train()
        for path, label in files["train"]:
            optimiser.zero_grad()
            loss_of(path, label).backward()
            optimiser.step()
        network.eval()
        with torch.no_grad():
            total = sum(loss_of(path, label).item() for path, label in files["val"])
    return {"seconds": (time.perf_counter() - started) / n_epochs, "last_loss": total}
