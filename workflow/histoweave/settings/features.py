"""Section features: the encoder of tiles."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from histoweave.settings.base import Section
from histoweave.settings.encoder import TileEncoder


class Features(Section):
    """Tile features."""

    encoder: TileEncoder = TileEncoder()
    precision: Literal["float32", "float16"] = Field("float32", description="Number format of the stored features.")
    arithmetic: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format inside the network; auto: bfloat16 or float16 if the device supports it."
    )
