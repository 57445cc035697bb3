"""Rounding a convolution's weights to bfloat16 so that its output hardly moves.

Rounded one by one, weights miss their true values by up to 1 in 512 each, always in the same direction for every
tile; in deep networks of depthwise convolutions that adds up to a visible shift of the features. Two remedies
cost nothing when the network runs: a depthwise kernel is rounded so that its sum stays, and the bias takes up
what is left for inputs of average size.
"""

from __future__ import annotations

import torch


def rounded(weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Round (O,I,h,w) float32 weights to `dtype`; of depthwise kernels (I = 1), to the same sum as well."""
    if dtype == weight.dtype or weight.shape[1] > 1:
        return weight.to(dtype)
    taps = weight.flatten(1)
    order = taps.abs().argsort(dim=1, descending=True, stable=True)  # the small taps, rounded finely, come last
    result = torch.empty_like(taps)
    owed = torch.zeros(len(taps))
    for column in order.T:
        wanted = taps.gather(1, column[:, None])[:, 0] + owed
        given = wanted.to(dtype).float()
        owed = wanted - given
        result.scatter_(1, column[:, None], given[:, None])
    return result.view_as(weight).to(dtype)


def bias_for_rounding(
    weight: torch.Tensor, low: torch.Tensor, *, input_mean: torch.Tensor, groups: int
) -> torch.Tensor:
    """What to add to the bias: the mean output lost between `weight` and `low`, both (O,I/groups,h,w); (O,) float32.

    `input_mean` (I,) is the mean of each input channel over typical images.
    """
    lost = (weight - low.float()).sum(dim=(2, 3)).unflatten(0, (groups, -1))
    return (lost * input_mean.view(groups, 1, -1)).sum(dim=-1).flatten()
