"""One of oneDNN's convolutions with everything that may follow it: sum, activation."""

from __future__ import annotations

from typing import TypeGuard

import timm.layers
import torch
from torch import nn
from torch.nn import functional

from histoweave.encoders.rounding import bias_for_rounding, rounded

OPERATIONS = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")
Activation = tuple[str | None, list[float], str | None]
NO_ACTIVATION: Activation = (None, [], None)
# As oneDNN names them: operation, its scalars, its variant.
ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: ("relu", [], ""),
    nn.ReLU6: ("hardtanh", [0.0, 6.0], ""),
    nn.SiLU: ("swish", [], ""),
    nn.Hardswish: ("hardswish", [], ""),
}
AFTER_SUM = (nn.ReLU,)  # the only activation that oneDNN's convolution takes after a sum


class NotFusable(Exception):
    """Why a network keeps its own operations."""


class FusedConvolution(nn.Module):
    """Convolution, then an optional sum with `other`, then an optional activation, in one oneDNN operation.

    `x` (N,C,H,W) is cast to the weights' type; the output is channels_last; the bias is float32 unless there is a
    sum. With `overwrites`, the result of a sum takes the place of `other`.
    """

    def __init__(
        self, convolution: nn.Conv2d, *, dtype: torch.dtype, input_shape: tuple[int, ...], input_mean: torch.Tensor
    ):
        super().__init__()
        weight, padding = _symmetric_padding(convolution, input_shape)
        low = rounded(weight, dtype)
        self.dtype = dtype
        self.geometry = padding, list(convolution.stride), list(convolution.dilation), convolution.groups
        self.bias = bias_for_rounding(weight, low, input_mean=input_mean, groups=convolution.groups)
        if convolution.bias is not None:
            self.bias += convolution.bias
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            low.contiguous(memory_format=torch.channels_last), *self.geometry, list(input_shape)
        )
        self.activation = NO_ACTIVATION
        self.overwrites = False

    def round_bias(self) -> None:
        """Give the bias the weights' type, as PyTorch demands where there is a sum."""
        self.bias = self.bias.to(self.dtype)

    def forward(self, x: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
        x = x.to(self.dtype)
        if other is None:
            attribute, scalars, variant = self.activation
            return torch.ops.mkldnn._convolution_pointwise(
                x, self.weight, self.bias, *self.geometry, attribute or "none", scalars, variant
            )
        if self.overwrites:
            return torch.ops.mkldnn._convolution_pointwise_.binary(
                other, x, self.weight, self.bias, *self.geometry, "add", 1.0, *self.activation
            )
        return torch.ops.mkldnn._convolution_pointwise.binary(
            x, other.to(self.dtype), self.weight, self.bias, *self.geometry, "add", 1.0, *self.activation
        )


def is_fusable(module: nn.Module | None) -> TypeGuard[nn.Conv2d]:
    """Whether `module` is a plain convolution, or one with TensorFlow's padding."""
    same = type(module) is timm.layers.Conv2dSame
    plain = type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return same or plain


def _symmetric_padding(convolution: nn.Conv2d, input_shape: tuple[int, ...]) -> tuple[torch.Tensor, list[int]]:
    """Weights and padding; where TensorFlow's padding has one pixel more at the end, the kernel grows by a zero.

    A kernel that begins with a zero may begin one pixel earlier, so the padding can be the same on both sides
    and needs no copy of the image.
    """
    if not isinstance(convolution, timm.layers.Conv2dSame):
        assert not isinstance(convolution.padding, str)  # see `is_fusable`
        return convolution.weight, list(convolution.padding)
    ends, growth = [], []
    for axis in (0, 1):
        stride, dilation = convolution.stride[axis], convolution.dilation[axis]
        size, reach = input_shape[2 + axis], dilation * (convolution.kernel_size[axis] - 1) + 1
        total = max(0, (-(-size // stride) - 1) * stride + reach - size)
        if total % 2 and dilation > 1:
            raise NotFusable("it has dilated convolutions with uneven padding")
        ends.append(total - total // 2)
        growth.append(total % 2)
    return functional.pad(convolution.weight, (growth[1], 0, growth[0], 0)), ends
