"""What the sections of the configuration have in common, and the encoder, which two of them name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pydantic
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, WrapValidator

Share = Annotated[float, Field(ge=0, le=1)]


def number_or_auto(least: int) -> Any:
    """The type of a key that is a whole number of at least `least`, or `auto`; what is neither gets one message."""

    def check(value: Any, handler: pydantic.ValidatorFunctionWrapHandler) -> int | str:
        try:
            if isinstance(value, bool):
                raise ValueError("yes and no are no numbers")
            return handler(value)
        except ValueError:
            raise ValueError(f"a whole number of at least {least}, or auto, is expected") from None

    return Annotated[Annotated[int, Field(ge=least)] | Literal["auto"], WrapValidator(check)]


class Section(BaseModel):
    """A part of the configuration in which unknown keys, numbers that are none, and yes or no for a number are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _no_bool_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = cls.model_fields[info.field_name].annotation
        if isinstance(value, bool) and {int, float} & {kinds, *get_args(kinds)}:
            raise ValueError("a number is expected; yes, no, true and false are none")
        return value


class Encoder(Section):
    """Which network turns a tile into a feature vector. A plain string in the config is short for `name`."""

    name: str = Field("resnet50", description="An entry of the registry, `timm:<name>` or `hf-hub:<owner>/<model>`.")
    weights: str | None = Field(None, description="Local .safetensors file, in place of downloaded weights.")
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
