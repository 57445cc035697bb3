"""Is an explanation faithful? Deletion and insertion curves of tiles and genes, against random order.

What is explained as important is taken away first, or put back first: the probability of the called class must fall, or
rise, faster than in random order (Petsiuk, Das and Saenko, "RISE", BMVC 2018). Tiles leave the bag; genes go to the mean
of the training patients.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from histoweave.explain.attribution import TILES_AT_ONCE, Attribution, read_modalities
from histoweave.explain.gains import ATTENTION, ATTRIBUTION, DELETION, DIRECTIONS, RANDOM
from histoweave.fusion.catalog import IMAGE
from histoweave.fusion.fitted import FittedModel
from histoweave.fusion.models.base import Batch, two_steps

SHARES = np.linspace(0, 1, 11)
COLUMNS = {"modality": str, "order": str, "direction": str, "share": np.float64, "score": np.float64}


def curves(
    fitted: FittedModel, batch: Batch, found: Attribution, *, random_orders: int, rng: np.random.Generator
) -> pd.DataFrame:
    """The curves of one patient for the class that the model called.

    Where nothing of the image is left, a model that can do without sees a patient without image; for the others, and
    for a patient whose image is all there is, one tile stays.

    Parameters
    ----------
    batch, found : of this patient alone, and what `attribute` said of it.
    random_orders : random orders whose curves are averaged.

    Returns
    -------
    `modality`, `order` (`attribution`: what speaks most for the called class first; `attention`, tiles only; `random`),
    `direction`, `share` (of the tiles or genes that are removed or put back), `score` (probability of the called class).
    """
    called = int(found.score.argmax())
    read = read_modalities(fitted, batch)
    rows = []
    for modality in read:
        values = found.tiles if modality == IMAGE else found.genes
        assert values is not None  # of every modality that was read
        orders = {ATTRIBUTION: [_descending(values[:, called])]}
        if modality == IMAGE and found.attention is not None:
            orders[ATTENTION] = [_descending(found.attention)]
        orders[RANDOM] = [rng.permutation(len(values)) for _ in range(random_orders)]
        least = int(modality == IMAGE and not (fitted.info.tolerates_missing and len(read) == 2))
        kept = [
            _kept(order, direction, least) for many in orders.values() for order in many for direction in DIRECTIONS
        ]
        scores = _scores(fitted, batch, modality, np.concatenate(kept))[:, called]
        lines = iter(scores.reshape(-1, len(DIRECTIONS), len(SHARES)))
        for name, many in orders.items():
            mean = np.mean([next(lines) for _ in many], axis=0)
            for direction, line in zip(DIRECTIONS, mean, strict=True):
                rows += [(modality, name, direction, *point) for point in zip(SHARES, line, strict=True)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _descending(values: np.ndarray) -> np.ndarray:
    return np.argsort(-values, kind="stable")


def _kept(order: np.ndarray, direction: str, least: int) -> np.ndarray:
    """(shares,N) bool: what is there at each share, at least `least` of them."""
    n = len(order)
    counts = np.rint(SHARES * n).astype(int)
    place = np.empty(n, dtype=int)
    place[order] = np.arange(n)
    if direction == DELETION:
        return place >= np.minimum(counts, n - least)[:, None]
    return place < np.maximum(counts, least)[:, None]


@torch.inference_mode()
def _scores(fitted: FittedModel, batch: Batch, modality: str, kept: np.ndarray) -> np.ndarray:
    """Probabilities (M,C) of the patient with only those tiles or genes that each row of `kept` (M,N) keeps.

    What follows from the tiles one by one is computed once for all rows.
    """
    network, found = two_steps(fitted.module), []
    seen = network.see(batch.tiles, batch.tile_mask, batch.has_image)
    for rows in torch.from_numpy(kept).split(max(1, TILES_AT_ONCE // batch.tiles.shape[1])):
        rows = rows.to(batch.tiles.device)
        if modality == IMAGE:
            logits = network.answer(seen, rows, rows.any(dim=1), batch.genes, batch.has_expression).logits
            without = ~rows.any(dim=1)
            logits = torch.where(without[:, None], _without_image(fitted, batch), logits) if without.any() else logits
        else:
            logits = network.answer(
                seen, batch.tile_mask, batch.has_image, batch.genes * rows, batch.has_expression
            ).logits
        found.append(logits.double().softmax(-1).cpu().numpy())
    return np.concatenate(found)


def _without_image(fitted: FittedModel, batch: Batch) -> torch.Tensor:
    """Logits (1,C) of the patient without any tile."""
    nothing = torch.zeros_like(batch.has_image)
    return fitted.module(*batch._replace(tile_mask=torch.zeros_like(batch.tile_mask), has_image=nothing)).logits
