"""Section control: the negative control."""

from __future__ import annotations

from pydantic import Field

from histoweave.settings.base import Section


class Control(Section):
    """The negative control."""

    permuted_labels: bool = Field(True, description="Repeat the cross-validation with shuffled labels.")
    shuffles: int = Field(20, ge=20, le=1000, description="Label shuffles for each model without a network.")
    network_shuffles: int = Field(1, ge=0, le=100, description="Label shuffles for each neural model; 0: none.")
