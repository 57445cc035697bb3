"""Section control: the negative control."""

from __future__ import annotations

from pydantic import Field

from histoweave.settings.base import Section


class Control(Section):
    """The negative control."""

    permuted_labels: bool = Field(True, description="Run folds and models once more on shuffled labels.")
    shuffles: int = Field(20, ge=20, le=1000, description="Shuffles that each model without a network is refitted on.")
    network_shuffles: int = Field(
        1, ge=0, le=100, description="Shuffles that each neural model is refitted on; 0: none."
    )
