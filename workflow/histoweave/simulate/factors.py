"""Who carries which hidden factor.

Generators are seeded by names, so adding a patient never changes another.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

# A negative patient carries one factor of the two, or none.
NEGATIVE = {(True, False): 0.40, (False, True): 0.40, (False, False): 0.20}


@dataclass(frozen=True)
class Factors:
    """The two hidden factors of a patient; the label is positive if and only if both are present."""

    image: bool
    rna: bool


def rng_for(*parts: str | int) -> np.random.Generator:
    """A random generator that depends on `parts` alone (by SHA-256, so the same on every machine)."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def factors(patient: str, *, positive: bool, seed: int) -> Factors:
    """Draw the hidden factors of a patient with a known label.

    A positive patient has both. A negative one has the image factor alone (probability 0.4), the RNA factor
    alone (0.4) or neither (0.2), so a perfect reader of one modality has an expected AUROC of 0.8, of both 1.
    """
    if positive:
        return Factors(image=True, rna=True)
    kinds = list(NEGATIVE)
    image, rna = kinds[rng_for(seed, "factors", patient).choice(len(kinds), p=list(NEGATIVE.values()))]
    return Factors(image=image, rna=rna)
