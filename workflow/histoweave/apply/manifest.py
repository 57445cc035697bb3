"""`bundle.json`: what a bundle is, what it expects, and the SHA-256 of every other file in it."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Literal

import pydantic
from pydantic import Field

from histoweave.errors import InputError
from histoweave.ids import ID
from histoweave.section import Section

NAME = "bundle.json"
FORMAT = 1
_MEMBER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")


class EncoderIdentity(Section):
    """The network whose features the models read, as the feature files name it."""

    name: str
    weights_sha256: str = Field(description="Empty if the features were made elsewhere and do not say.")
    dim: int
    input_px: int
    arithmetic: list[str] = Field(description="Number formats inside the network; hardware decides between them.")
    precision: list[str] = Field(description="Number formats of the stored features.")
    licence: str


class TileIdentity(Section):
    """The tiles that the features are of, as their files name them; NaN is written as null."""

    tile_px: int
    target_mpp: float | None
    settings: dict[str, Any] = Field(description="The section `tiles` of the configuration.")


class ExpressionIdentity(Section):
    """The RNA that the models read."""

    unit: str
    formula: str
    n_genes: int = Field(description="Genes of the training table.")
    genes: list[str] = Field(description="Genes that any model reads, sorted.")


class ModelIdentity(Section):
    """One model and how many fold models it has."""

    name: str
    title: str
    modalities: list[str]
    folds: list[int] = Field(description="k = repeat × n_folds + fold of each.")


class Manifest(Section):
    """The whole file."""

    format: Literal[1] = FORMAT
    version: str = Field(description="Of histoweave.")
    cohort: str = Field(pattern=f"^{ID.pattern}$", description="The cohort that the models were fitted on.")
    classes: list[str] = Field(min_length=2, description="In order of the probabilities.")
    positive: str | None = Field(description="Positive class of two, the last.")
    n_folds: int
    repeats: int
    models: list[ModelIdentity] = Field(min_length=1)
    encoder: EncoderIdentity | None
    tiles: TileIdentity | None
    expression: ExpressionIdentity | None
    concepts: bool = Field(description="Whether a dictionary of tile features is in it.")
    files: dict[str, str] = Field(description="Member → SHA-256 of its bytes.")
    sha256: str = Field("", description="Of this file's own content without this key.")

    def own_sha256(self) -> str:
        """SHA-256 of the canonical JSON of everything but `sha256`."""
        content = self.model_dump(mode="json", exclude={"sha256"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def text(self) -> str:
        """The file's text, with its own hash."""
        sealed = self.model_copy(update={"sha256": self.own_sha256()})
        return json.dumps(sealed.model_dump(mode="json"), indent=2, sort_keys=True, allow_nan=False) + "\n"


def parse(data: bytes, *, where: str) -> Manifest:
    """Read `bundle.json`.

    Raises
    ------
    InputError
        if it is no manifest, of another format, was changed, or names a member that could be a path elsewhere.
    """
    broken = InputError(f"{where}: {NAME} is not the manifest of a bundle; copy the bundle again")
    try:
        raw = json.loads(data)
    except ValueError:
        raise broken from None
    if not isinstance(raw, dict) or "format" not in raw:
        raise broken
    if raw["format"] != FORMAT:
        raise InputError(
            f"{where}: bundle format {raw['format']!r} is not known here, which reads format {FORMAT}; "
            "use the version of histoweave that made it"
        )
    try:
        manifest = Manifest.model_validate(raw)
    except pydantic.ValidationError:
        raise broken from None
    if manifest.own_sha256() != manifest.sha256:
        raise InputError(f"{where}: {NAME} was changed after the bundle was made; copy the bundle again")
    if bad := [name for name in manifest.files if not _MEMBER.fullmatch(name)]:
        raise InputError(f"{where}: {NAME} names '{bad[0]}', which cannot be a member; copy the bundle again")
    return manifest
