"""A loaded encoder made ready for one device: tiles in, feature vectors out."""

from __future__ import annotations

import contextlib
import copy
import logging
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from histoweave.encoders.convolution import NotFusable
from histoweave.encoders.fused import TOLERANCE, change_of, fuse, trial_images
from histoweave.encoders.loading import LoadedEncoder
from histoweave.errors import InputError

logger = logging.getLogger(__name__)

Arithmetic = Literal["auto", "float32", "bfloat16", "float16"]


class TileEncoder:
    """A copy of a loaded encoder, made fast on one device; the encoder itself stays as it is.

    On the CPU, convolutional networks are fused (`encoders.fused`). Everything else runs its own operations:
    in float32, or under autocast to the chosen arithmetic; `auto` takes the fastest that keeps the features. The same batch gives the same bytes; a tile in
    another batch may differ by rounding.

    Attributes
    ----------
    encoder: what is known of it; its module is the network that runs.
    arithmetic: what was chosen: `float32`, `bfloat16` or `float16`. Features are float32 in any case.
    path: `fused` or `unfused`.
    """

    def __init__(self, encoder: LoadedEncoder, *, device: torch.device, arithmetic: Arithmetic):
        """Choose the arithmetic and prepare the network.

        Raises
        ------
        InputError
            naming `features.arithmetic`, if the device cannot calculate so.
        """
        self.device = device
        self._edge_px = encoder.input_px
        # One row of a tile as it lies in memory (R, G, B, R, ...): broadcasting rows is fast, single channels is not.
        self._zero = torch.tensor(encoder.mean).mul(255).repeat(encoder.input_px).to(device)
        self._scale = torch.tensor(encoder.std).mul(255).reciprocal().repeat(encoder.input_px).to(device)
        for self.arithmetic in arithmetics(arithmetic, device):
            self._dtype, self._input_dtype = getattr(torch, self.arithmetic), torch.float32
            self.path, self._network = self._prepare(encoder)
            if arithmetic != "auto" or self._is_faithful():
                break
            logger.info("%s in %s changes its features too much: not used", encoder.name, self.arithmetic)
        # What is known of the encoder, with the network that runs in place of the one that was loaded.
        self.encoder = replace(encoder, module=self._network)

    def _prepare(self, encoder: LoadedEncoder) -> tuple[str, torch.nn.Module]:
        where = f"{encoder.name} on {self.device.type} in {self.arithmetic}"
        if self.device.type == "cpu":
            try:
                network, leading = fuse(encoder.module, edge_px=encoder.input_px, dtype=self._dtype)
            except NotFusable as reason:
                logger.info("%s: own operations, not fused, because %s", where, reason)
            else:
                kept = f", the first {leading} in float32" if leading else ""
                logger.info("%s: fused oneDNN convolutions%s", where, kept)
                self._input_dtype = torch.float32 if leading else self._dtype
                return "fused", network
        else:
            logger.info("%s: own operations, not fused, which is for the CPU", where)
        network = copy.deepcopy(encoder.module).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        return "unfused", network

    def _is_faithful(self) -> bool:
        """Whether trial images keep their features of float32; fused networks were compared while they were made."""
        if self.path == "fused" or self.arithmetic == "float32":
            return True
        images = trial_images(self._edge_px).to(self.device)
        with torch.inference_mode(), _repeatable(self.device):
            expected = self._network(images).float().cpu()
        return change_of(torch.from_numpy(self.forward(images)), expected) <= TOLERANCE[torch.bfloat16]

    def transform(self, tiles: np.ndarray) -> torch.Tensor:
        """Normalise (B,E,E,3) uint8 RGB tiles: (B,3,E,E) on the device, channels_last.

        Of the type that the network begins with: the arithmetic's for a fused network whose first convolutions
        bear it, else float32, which autocast casts where it is safe.
        """
        edge_px = self._edge_px
        rows = torch.from_numpy(np.ascontiguousarray(tiles)).view(-1, edge_px * 3)
        with torch.inference_mode():
            if self.device.type == "cuda":
                rows = rows.pin_memory().to(self.device, non_blocking=True)
            rows = rows.float().sub_(self._zero).mul_(self._scale)
            return rows.to(self._input_dtype).view(-1, edge_px, edge_px, 3).permute(0, 3, 1, 2)

    def forward(self, images: torch.Tensor) -> np.ndarray:
        """Encode what `transform` gives: (B,D) float32."""
        lower = self.arithmetic != "float32"
        with (
            torch.inference_mode(),
            _repeatable(self.device),
            torch.autocast(self.device.type, dtype=self._dtype if lower else None, enabled=lower),
        ):
            return self._network(images).float().cpu().numpy()

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        """Encode (B,E,E,3) uint8 RGB tiles of the encoder's input size: (B,D) float32."""
        return self.forward(self.transform(tiles))


def arithmetics(arithmetic: Arithmetic, device: torch.device) -> tuple[str, ...]:
    """What to calculate in: for `auto` all that the device has in hardware, the fastest first; else what is asked for.

    Raises
    ------
    InputError
        for an arithmetic that the device has not: emulated, it would be slower than float32.
    """
    if device.type == "cuda":
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        known: tuple[str, ...] = ("bfloat16", "float16", "float32") if has_bfloat16 else ("float16", "float32")
    else:
        known = ("bfloat16", "float32") if cpu_has_bfloat16() else ("float32",)
    if arithmetic == "auto":
        return known
    if arithmetic not in known:
        raise InputError(
            f"features.arithmetic is '{arithmetic}', which this machine's {device.type} cannot do; "
            f"use 'auto' or {' or '.join(map(repr, known))}"
        )
    return (arithmetic,)


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX) and oneDNN may use it."""
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(native and torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _repeatable(device: torch.device) -> contextlib.AbstractContextManager:
    """On CUDA, convolutions that give the same bytes each time, with all digits of float32."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
