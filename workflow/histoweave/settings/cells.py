"""Section cells: from the picture of a cell to tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from histoweave.settings.base import Section
from histoweave.settings.encoder import Encoder


class Cells(Section):
    """From the picture of a cell to tokens."""

    encoder: Encoder = Encoder(name="dinobloom_b")
    block: int = Field(-2, description="Block that provides the output, from the end if negative; CNN: feature map.")
    final_norm: bool = Field(False, description="Use the output after the last norm of the network (CNN: its head).")
    precision: Literal["float32", "float16"] = Field("float16", description="Number format of the stored tokens.")
