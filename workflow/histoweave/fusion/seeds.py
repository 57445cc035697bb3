"""Seeds of parts of a run, the same on every machine."""

from __future__ import annotations

import hashlib


def fold_seed(seed: int, name: str, k: int) -> int:
    """A seed of its own for each name (of a model, of a patient's draw) and fold: 32 bits of SHA-256."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}/{k}".encode()).digest()[:4], "big")
