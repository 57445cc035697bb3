"""`bundle.json`: what a bundle is, what it expects, and the SHA-256 of every other file in it."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Final, Literal

import pydantic
from pydantic import Field

from histoweave.errors import InputError, short
from histoweave.fusion import catalog
from histoweave.ids import ID
from histoweave.settings.base import Section
from histoweave.storage import strict_json

NAME = "bundle.json"
FORMAT: Final = 1
FOLD_MEMBERS = ("model.safetensors", "config.json", "transforms.parquet")
DICTIONARY = ("sae_weights.safetensors", "cfg.json", "training.safetensors")
SUMMARY, EMBEDDING = "reference/summary.parquet", "reference/embedding.safetensors"
_MEMBER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
MOST = 10**9  # of anything that is counted
FIRST = pydantic.FailFast()  # one wrong entry is enough: a list of millions would give millions of messages
LONGEST = 1000  # of anything that is written in a message
Words = Annotated[str, Field(max_length=LONGEST, pattern=r"^[^\x00\r\n]*$")]


class EncoderIdentity(Section):
    """The network whose features the models read, as the feature files name it."""

    name: Words
    weights_sha256: Words = Field(description="Empty if the features were made elsewhere and do not say.")
    dim: int = Field(ge=1, le=MOST)
    input_px: int = Field(ge=0, le=MOST)
    arithmetic: Annotated[list[str], FIRST] = Field(
        description="Number formats inside the network; hardware decides between them."
    )
    precision: Annotated[list[str], FIRST] = Field(description="Number formats of the stored features.")
    licence: Words


class TileIdentity(Section):
    """The tiles that the features are of, as their files name them; NaN is written as null."""

    tile_px: int = Field(ge=0, le=MOST)
    target_mpp: float | None = Field(gt=0, allow_inf_nan=False)
    settings: dict[str, Any] = Field(description="The section `tiles` of the configuration.")

    @pydantic.field_validator("settings")
    @classmethod
    def _complete(cls, settings: dict[str, Any]) -> dict[str, Any]:
        for key, default in (("tile_px", None), ("target_mpp", None), ("mpp_tolerance", 0.05)):
            value = settings.get(key, default)
            if not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"{key} is missing or not a number above 0")
        if long := [key for key, value in settings.items() if len(json.dumps(value)) > LONGEST]:
            raise ValueError(f"{long[0]:.60} is longer than any setting")
        return settings


class ExpressionIdentity(Section):
    """The RNA that the models read."""

    unit: Words
    formula: Words
    n_genes: int = Field(ge=1, le=MOST, description="Genes of the training table.")
    genes: Annotated[list[str], FIRST] = Field(min_length=1, description="Genes that any model reads, sorted.")
    transform: Literal["log2", "ranks"] = Field(
        "log2",
        description="What models read of the genes; left out where it is log2, as in bundles before there was a choice.",
    )

    @pydantic.model_serializer(mode="wrap")
    def _as_before(self, handler: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if (key, value) != ("transform", "log2")}


class ModelIdentity(Section):
    """One model and how many fold models it has."""

    name: Words
    title: Words
    modalities: Annotated[list[str], FIRST]
    folds: Annotated[list[int], FIRST] = Field(description="k = repeat × n_folds + fold of each.")


class Manifest(Section):
    """The whole file."""

    format: Literal[1] = FORMAT
    version: str = Field(description="Of histoweave.")
    cohort: str = Field(pattern=f"^{ID.pattern}$", description="The cohort that the models were fitted on.")
    classes: Annotated[list[Words], FIRST] = Field(min_length=2, description="In order of the probabilities.")
    positive: str | None = Field(description="Positive class of two, the last.")
    n_folds: int = Field(ge=1, le=MOST)
    repeats: int = Field(ge=1, le=MOST)
    models: Annotated[list[ModelIdentity], FIRST] = Field(min_length=1)
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
        if it is no manifest, of another format, was changed, contradicts itself, or names a member that could be a path
        elsewhere.
    """
    try:
        raw = strict_json.parse(data)
        if not isinstance(raw, dict) or "format" not in raw:
            raise strict_json.NotJson("no key 'format'")
    except strict_json.NotJson as error:
        raise _broken(where, error) from None
    if raw["format"] != FORMAT:
        raise InputError(
            f"{where}: bundle format {short(raw['format'])} is not supported; this version reads format {FORMAT}; "
            "use the version of histoweave that made it"
        )
    try:
        manifest = Manifest.model_validate(raw)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise _broken(where, f"{'.'.join(map(str, first['loc'])):.80}: {first['msg']:.200}") from None
    if manifest.own_sha256() != manifest.sha256:
        raise InputError(f"{where}: {NAME} was changed after the bundle was made; copy the bundle again")
    if bad := [name for name in manifest.files if not _MEMBER.fullmatch(name)]:
        raise InputError(f"{where}: {NAME} names '{bad[0]:.80}', which cannot be a member; copy the bundle again")
    if contradiction := _contradiction(manifest):
        raise InputError(f"{where}: {NAME}: {contradiction}; make the bundle again")
    return manifest


def _broken(where: str, why: object) -> InputError:
    return InputError(f"{where}: {NAME} is not the manifest of a bundle ({why}); copy the bundle again")


def _contradiction(manifest: Manifest) -> str | None:
    """What in a manifest does not go together, None if everything does."""
    classes, names = manifest.classes, [model.name for model in manifest.models]
    if "" in classes or len(set(classes)) < len(classes):
        return "a class has no name, or one name stands for two"
    if manifest.positive is not None and (len(classes) != 2 or manifest.positive != classes[-1]):
        return f"the positive class '{manifest.positive:.60}' is not the last of two classes"
    if unknown := [name for name in names if name not in catalog.names()]:
        return f"model '{unknown[0]:.60}' is not known to this version of histoweave"
    if len(set(names)) < len(names):
        return f"model '{max(names, key=names.count)}' occurs twice"
    n_folds = manifest.n_folds * manifest.repeats
    for model in manifest.models:
        if len(model.folds) != n_folds or model.folds != list(range(n_folds)):
            return f"the folds of model '{model.name}' are not 0 to {n_folds - 1}, each once"
        if set(model.modalities) != catalog.get(model.name).modalities:
            return f"model '{model.name}' is said to read {' and '.join(model.modalities) or 'nothing':.80}"
    read = set().union(*(model.modalities for model in manifest.models))
    if catalog.IMAGE in read and (manifest.encoder is None or manifest.tiles is None):
        return "a model reads images, but the encoder or the tiles are not recorded"
    if manifest.encoder is None and (manifest.concepts or EMBEDDING in manifest.files):
        return "it holds features of the training patients, but the encoder is not recorded"
    if catalog.EXPRESSION in read and manifest.expression is None:
        return "a model reads RNA, but its unit and genes are not recorded"
    if manifest.expression and len(set(manifest.expression.genes)) < len(manifest.expression.genes):
        return "a gene is listed twice"
    if lacking := sorted(set(needed_members(manifest)) - set(manifest.files)):
        return f"member '{lacking[0]}' is not listed"
    return None


def needed_members(manifest: Manifest) -> list[str]:
    """The members that every bundle with these models has."""
    folds = [f"models/{model.name}/fold{k}" for model in manifest.models for k in model.folds]
    members = [f"{fold}/{name}" for fold in folds for name in FOLD_MEMBERS]
    members += [f"sae/{name}" for name in DICTIONARY] if manifest.concepts else []
    return [*members, SUMMARY]
