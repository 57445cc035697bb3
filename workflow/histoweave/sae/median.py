"""Geometric median: the point with the least sum of distances to all points. Outliers hardly move it."""

from __future__ import annotations

import torch


def geometric_median(points: torch.Tensor, *, tolerance: float = 1e-5, max_rounds: int = 100) -> torch.Tensor:
    """Geometric median (D,) of points (n,D), by Weiszfeld's iteration from their mean.

    Weiszfeld (1937), Tohoku Math. J. 43:355: the mean weighted by 1 / distance, again and again. Ends when a round
    moves it by less than `tolerance` times the mean distance. A distance of 0 counts as that bound.
    """
    median = points.mean(dim=0)
    for _ in range(max_rounds):
        distance = torch.linalg.vector_norm(points - median, dim=1)
        bound = tolerance * distance.mean()
        if bound == 0:
            return median
        weight = 1 / distance.clamp(min=bound)
        moved = (weight / weight.sum()) @ points
        change = torch.linalg.vector_norm(moved - median)
        median = moved
        if change < bound:
            break
    return median
