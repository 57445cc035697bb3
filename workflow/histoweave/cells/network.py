"""A loaded encoder as a source of tokens: all tokens of a block, and the vector that its plain user would take."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from torch import nn

from histoweave.encoders.fused import change_of, trial_images
from histoweave.encoders.loading import ClassAndPatchMean, LoadedEncoder
from histoweave.errors import InputError

# Largest change of a pooled vector, relative to its length, between the pass taken here and the encoder's own.
TOLERANCE = 1e-4


class TokenNetwork:
    """Images in; tokens of one block and pooled vectors out, in one pass, in float32.

    The tokens of a vision transformer are its prefix (such as CLS) and its patches, row by row; of any other network
    the pixels of a feature map, row by row. Blocks of a transformer, and feature maps of another network, are counted
    as timm does (its `feature_info`), from the end if negative. The same batch gives the same bytes; an image in
    another batch may differ by rounding.

    Attributes
    ----------
    encoder: as given.
    block, final_norm: as asked for.
    prefix_tokens: tokens before the patches. grid: rows and columns of the patches.
    n_tokens, dim: tokens per image and their length. n_features: length of the pooled vector.
    """

    def __init__(self, encoder: LoadedEncoder, *, block: int, final_norm: bool, device: torch.device):
        """Move the encoder's network to the device and check, by one pass, that it has what is asked for.

        Parameters
        ----------
        final_norm: of a transformer, send the tokens through its last norm; of another network, take the map that
            follows the last one, after its head convolution (timm's `forward_features`).

        Raises
        ------
        InputError
            naming `cells.encoder`, `cells.block` or `cells.final_norm`.
        """
        self.encoder, self.block, self.final_norm = encoder, block, final_norm
        self._device = device
        self._module: Any = encoder.module.to(device)  # timm's: what it has besides nn.Module's is in no type
        self._network: Any = _unwrapped(self._module)
        self._is_transformer = _has_prefix_tokens(self._network, name=encoder.name)
        self._check_block()
        self._zero = torch.tensor(encoder.mean, device=device).view(1, 3, 1, 1) * 255
        self._scale = 1 / (torch.tensor(encoder.std, device=device).view(1, 3, 1, 1) * 255)
        self.prefix_tokens: int = self._network.num_prefix_tokens if self._is_transformer else 0
        self.grid, self.n_tokens, self.dim, self.n_features = self._trial()

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens (B,T,D) and pooled vectors (B,P), both float32, of (B,E,E,3) uint8 RGB images of the input size."""
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self._device)
        x = pixels.permute(0, 3, 1, 2).float().sub_(self._zero).mul_(self._scale)
        tokens, pooled = self._forward(x)
        return tokens.flatten(1, -2).cpu().numpy(), pooled.cpu().numpy()

    @torch.inference_mode()
    def _forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens, (B,T,D) of a transformer or (B,H,W,D) of another network, and pooled vectors (B,P)."""
        # Deterministic convolutions with all digits of float32; without effect on the CPU.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            if self._is_transformer:
                last, (taken,) = self._network.forward_intermediates(
                    x, indices=[self.block], norm=self.final_norm, output_fmt="NLC", return_prefix_tokens=True
                )
                patches, *prefix = taken if isinstance(taken, tuple) else (taken,)
                tokens = torch.cat([*prefix, patches], dim=1)
            else:
                last, (taken,) = self._network.forward_intermediates(x, indices=[self.block])
                tokens = (last if self.final_norm else taken).movedim(1, -1)
            return tokens, self._module.forward_head(last)

    def _check_block(self) -> None:
        n_blocks = len(self._network.feature_info)
        what = "blocks" if self._is_transformer else "feature maps"
        if not -n_blocks <= self.block < n_blocks:
            raise InputError(
                f"cells.block is {self.block}, but '{self.encoder.name}' has {n_blocks} {what}; "
                f"use {-n_blocks} to {n_blocks - 1}"
            )
        if not self.final_norm:
            return
        if self._is_transformer:
            if isinstance(getattr(self._network, "norm", None), nn.Identity):
                raise InputError(
                    f"cells.final_norm is true, but '{self.encoder.name}' has no norm after its blocks; set it to false"
                )
        elif self.block not in (-1, n_blocks - 1):
            raise InputError(
                f"cells.final_norm is true, and in '{self.encoder.name}' only the last feature map goes through the "
                "head; set cells.block to -1, or cells.final_norm to false"
            )

    def _trial(self) -> tuple[tuple[int, int], int, int, int]:
        """Grid, tokens per image, their length, and the length of the pooled vector."""
        name, px = self.encoder.name, self.encoder.input_px
        images = trial_images(px)[:1].to(self._device)
        tokens, pooled = self._forward(images)
        with torch.inference_mode():
            own = self._module(images)
        if own.shape != pooled.shape or change_of(pooled, own) > TOLERANCE:
            raise InputError(f"cells.encoder '{name}': its blocks do not lead to its own output; use another encoder")
        if self._is_transformer:
            grid = tuple(self._network.patch_embed.dynamic_feat_size((px, px)))
        elif tokens.ndim != 4 or (self.final_norm and tokens.shape[-1] != self._network.num_features):
            raise InputError(f"cells.encoder '{name}' gives no feature map there; use another cells.block or encoder")
        else:
            grid = tuple(tokens.shape[1:3])
        n_tokens, dim = tokens.flatten(1, -2).shape[1:]
        if n_tokens != self.prefix_tokens + grid[0] * grid[1]:
            raise InputError(f"cells.encoder '{name}': {n_tokens} tokens are no {grid[0]} x {grid[1]} patches")
        return grid, n_tokens, dim, pooled.shape[1]


def _unwrapped(module: Any) -> Any:
    return module.transformer if isinstance(module, ClassAndPatchMean) else module


def _has_prefix_tokens(network: Any, *, name: str) -> bool:
    """Whether timm's `forward_intermediates` knows of prefix tokens, as those of vision transformers do."""
    if not hasattr(network, "forward_intermediates"):
        raise InputError(f"cells.encoder '{name}' does not give the output of its blocks; use another encoder")
    return "return_prefix_tokens" in inspect.signature(network.forward_intermediates).parameters
