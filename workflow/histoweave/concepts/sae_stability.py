"""Would another seed have found the same concepts? Dictionaries of several seeds, matched pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from histoweave.concepts.cohort_data import Path
from histoweave.sae.format import load
from histoweave.sae.matching import match
from histoweave.sae.model import SparseAutoencoder
from histoweave.storage.files import write_table

_NUMBERS = ("n_latents", "mean", "share", "weighted_mean", "null")


def stability(dictionaries: Sequence[SparseAutoencoder], *, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Match every pair of dictionaries, and follow the latents of the first.

    Returns
    -------
    pairs: `one`, `other` (places in `dictionaries`), `n_matched`, and the numbers of `sae.matching.Matching`: with them
    `null`, the mean of random dictionaries.
    concepts: `concept`, `stability` (mean over the other dictionaries of the cosine with its partner there) and
    `stability_lowest`; NaN for a latent that was not matched, or if there is no other dictionary.
    """
    pairs, cosines = [], np.full((len(dictionaries), dictionaries[0].n_latents), np.nan)
    for one, other in combinations(range(len(dictionaries)), 2):
        found = match(dictionaries[one], dictionaries[other], seed=seed)
        pairs.append((one, other, len(found.cosine), *(getattr(found, name) for name in _NUMBERS)))
        if one == 0:
            cosines[other, found.one] = found.cosine
    cosines = pd.DataFrame(cosines[1:].T)  # pandas' mean and minimum leave NaN out
    concepts = pd.DataFrame({"stability": cosines.mean(axis=1), "stability_lowest": cosines.min(axis=1)})
    return (
        pd.DataFrame(pairs, columns=["one", "other", "n_matched", *_NUMBERS]),
        concepts.rename_axis("concept").reset_index().astype({"stability": float, "stability_lowest": float}),
    )


def stability_stage(dictionaries: Sequence[Path], *, seed: int, out: Mapping[str, Path]) -> None:
    """Match the dictionaries of several seeds, the first of which gives the concepts; out : `stability`, `concepts`."""
    pairs, concepts = stability([load(folder) for folder in dictionaries], seed=seed)
    write_table(out["stability"], pairs)
    write_table(out["concepts"], concepts)
