"""Whether two dictionaries hold the same latents: the best one-to-one matching of their directions, and by chance.

A dictionary with spare latents leaves them where they are, so that even two that found every concept match in part
only; and with equal weights a spare latent can take the partner of a concept that both found. Hence pairs weigh as
much as their latents fire, in the matching and in its mean, and a null stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from histoweave.errors import InputError
from histoweave.sae.model import SparseAutoencoder

MAX_LATENTS = 4096  # the matching takes time in the third power of them
SHARED_COSINE = 0.7  # as in Paulo & Belrose 2025, arXiv 2501.16615
_SILENT = 1e-3  # weight of a pair that never fires, as a share of the mean weight: what is left is matched by cosine


@dataclass(frozen=True)
class Matching:
    """
    Attributes
    ----------
    one, other: (n,) int64, latents that belong together. cosine: (n,) float64, of their decoder rows.
    n_latents: of the smaller dictionary; more than n if only those that fire most were matched.
    mean: of the cosines. share: of pairs whose cosine is above 0.7. weighted_mean: of the cosines, a pair weighing as
    much as its two latents fire; NaN where a dictionary does not tell. null: `weighted_mean` (without it, `mean`) of
    random directions in place of both dictionaries'.
    """

    one: np.ndarray
    other: np.ndarray
    cosine: np.ndarray
    n_latents: int
    mean: float
    share: float
    weighted_mean: float
    null: float


def match(one: SparseAutoencoder, other: SparseAutoencoder, *, seed: int, max_latents: int = MAX_LATENTS) -> Matching:
    """Match the latents so that the sum of the cosines of their decoder rows is largest (Hungarian method).

    A pair counts as much as its two latents fire; where a dictionary does not tell, all count alike. The sign counts:
    activations are not negative, so that opposite directions are different concepts. Of a dictionary with more than
    `max_latents` latents, only those take part that fire most often.

    Raises
    ------
    InputError
        if the dictionaries are for tokens of different lengths, or one is larger than `max_latents` and does not tell
        how often its latents fire.
    """
    other.check_dim(one.dim, what="the dictionary to compare with")
    chosen = [_most_firing(sae, max_latents) for sae in (one, other)]
    pairs = list(zip((one, other), chosen, strict=True))
    rows = [_unit(sae.w_dec.numpy()[latents]) for sae, latents in pairs]
    weight = _weight(*(None if sae.firing is None else sae.firing.numpy()[latents] for sae, latents in pairs))
    first, second, cosine, heard = _assign(rows, weight)
    rng = np.random.default_rng(seed)
    random = [_unit(rng.standard_normal(part.shape, dtype=np.float32)) for part in rows]
    *_, chance, heard_by_chance = _assign(random, weight)
    return Matching(
        one=chosen[0][first],
        other=chosen[1][second],
        cosine=cosine,
        n_latents=min(one.n_latents, other.n_latents),
        mean=float(cosine.mean()),
        share=float((cosine > SHARED_COSINE).mean()),
        weighted_mean=_weighted_mean(cosine, heard),
        null=float(chance.mean()) if weight is None else _weighted_mean(chance, heard_by_chance),
    )


def _most_firing(sae: SparseAutoencoder, n: int) -> np.ndarray:
    """The latents that take part, in order of their numbers."""
    if sae.n_latents <= n:
        return np.arange(sae.n_latents)
    if sae.firing is None:
        raise InputError(
            f"a dictionary of {sae.n_latents} latents is too large to be matched as a whole, and it does not record how "
            "often its latents are active; match one that was fitted here"
        )
    return np.sort(np.argsort(-sae.firing.numpy(), kind="stable")[:n])


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; a row of zeros stays, and is like none."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def _weight(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    """Of every pair (L,L'), how often its latents fire; None where that is not known."""
    return None if one is None or other is None else one[:, None].astype(np.float64) + other


def _assign(
    rows: list[np.ndarray], weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Latents of one and of the other that belong together, their cosines, and their weights."""
    cosine = (rows[0] @ rows[1].T).astype(np.float64)
    if weight is None:
        pairs = linear_sum_assignment(cosine, maximize=True)
        return *pairs, cosine[pairs], None
    score = cosine * (weight + _SILENT * weight.mean()) if weight.any() else cosine
    pairs = linear_sum_assignment(score, maximize=True)
    return *pairs, cosine[pairs], weight[pairs]


def _weighted_mean(cosine: np.ndarray, weight: np.ndarray | None) -> float:
    return float(cosine @ weight / weight.sum()) if weight is not None and weight.any() else np.nan
