"""The network that turns pictures into vectors, which the sections features and cells name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pydantic
from pydantic import Field

from histoweave.settings.base import Section


class Encoder(Section):
    """Which network turns a tile into a feature vector. A plain string in the config is short for `name`."""

    name: str = Field("resnet50", description="An entry of the registry, `timm:<name>` or `hf-hub:<owner>/<model>`.")
    weights: str | None = Field(None, description="Local .safetensors file, instead of downloaded weights.")
    input_px: int | None = Field(None, ge=16, description="Overrides the encoder's own input size.")
    mean: tuple[float, float, float] | None = Field(None, description="Overrides the encoder's own mean.")
    std: tuple[float, float, float] | None = Field(None, description="Overrides the encoder's own std.")

    @property
    def folder(self) -> str:
        """Folder name of this encoder's features: letters, digits, `. _ -` only."""
        stem = f"{self.name}-{Path(self.weights).stem}" if self.weights else self.name
        return re.sub(r"[^A-Za-z0-9._-]+", "-", stem)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def files(self) -> list[str]:
        """Files of the user that decide what it gives: other bytes under the same name are other features."""
        return [self.weights] if self.weights else []


class TileEncoder(Encoder):
    """An encoder of tiles, which may be the user's own."""

    plugin: str | None = Field(
        None,
        description="Python file with a function `encoder`, in place of an entry of the registry (docs/extend.md).",
    )

    @property
    def files(self) -> list[str]:
        """As of `Encoder`, and the plugin."""
        return [*super().files, *([self.plugin] if self.plugin else [])]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _named_after_its_file(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("plugin"), str) and "name" not in value:
            return {**value, "name": Path(value["plugin"]).stem}
        return value
