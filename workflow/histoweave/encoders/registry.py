"""Registry of encoders: metadata only, importable without torch and timm."""

from __future__ import annotations

import re
from pathlib import Path

from histoweave.encoders import blood, general, pathology
from histoweave.encoders.entry import EncoderEntry
from histoweave.encoders.plugin import try_plugin
from histoweave.errors import InputError, nearest
from histoweave.settings.encoder import Encoder, TileEncoder
from histoweave.storage.given_files import objection_to

TIMM = "timm:"
HUB = "hf-hub:"
_HUB_FORM = re.compile(r"hf-hub:[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w.-]+)?")

_ENTRIES: dict[str, EncoderEntry] = {}


def register(entry: EncoderEntry) -> EncoderEntry:
    """Add `entry`; a name can be taken once.

    Raises
    ------
    ValueError
        if the name is taken or could be read as one of the prefixed forms.
    """
    if entry.name in _ENTRIES:
        raise ValueError(f"encoder '{entry.name}' is registered twice")
    if ":" in entry.name:
        raise ValueError(f"encoder name '{entry.name}' must not contain ':'")
    _ENTRIES[entry.name] = entry
    return entry


def names() -> list[str]:
    """The names of all entries, sorted."""
    return sorted(_ENTRIES)


def get(name: str) -> EncoderEntry:
    """The entry of that name.

    Raises
    ------
    InputError
        naming the nearest known encoder.
    """
    if name not in _ENTRIES:
        raise InputError(
            f"encoder '{name}' is not known{nearest(name, names())}; use {', '.join(names())}, "
            f"'{TIMM}<model>' or '{HUB}<owner>/<model>'"
        )
    return _ENTRIES[name]


def check(encoder: Encoder) -> None:
    """Check an encoder's name and weights path without loading anything.

    Raises
    ------
    InputError
        if the name is unknown or malformed, if the weights file is missing or of another format, or if a plugin does not
        encode a tile.
    """
    if isinstance(encoder, TileEncoder) and encoder.plugin is not None:
        if encoder.weights is not None:
            raise InputError("encoder.weights is given, but encoder.plugin loads its own weights; remove one of them")
        try_plugin(encoder.plugin)
        return
    if encoder.name.startswith(HUB):
        if not _HUB_FORM.fullmatch(encoder.name):
            raise InputError(f"encoder '{encoder.name}' is malformed; write '{HUB}<owner>/<model>'")
    elif encoder.name.startswith(TIMM):
        _check_timm(encoder.name)
    else:
        get(encoder.name)
    if encoder.weights is not None:
        _check_weights(encoder)


def _check_weights(encoder: Encoder) -> None:
    assert encoder.weights is not None
    weights = Path(encoder.weights)
    if encoder.name.startswith(HUB):
        raise InputError(
            f"encoder.weights is given, but '{encoder.name}' names weights too; "
            f"give the architecture as '{TIMM}<model>' or an entry of the registry"
        )
    suffixes = (".safetensors",) if encoder.name.startswith(TIMM) else get(encoder.name).weights_suffixes
    if weights.suffix not in suffixes:
        raise InputError(
            f"encoder.weights '{weights}' is not a {' or '.join(suffixes)} file; "
            "save the weights with safetensors.torch.save_file"
        )
    if against := objection_to(weights):
        raise InputError(f"encoder.weights '{weights}' {against}")


def _check_timm(name: str) -> None:
    import timm  # heavy: only where a config asks for it

    model, _, tag = name.removeprefix(TIMM).partition(".")
    known = timm.list_models()
    if model not in known:
        raise InputError(f"encoder '{name}' is not a timm model{nearest(model, known)}")
    if tag and f"{model}.{tag}" not in (tagged := timm.list_models(f"{model}.*", pretrained=True)):
        raise InputError(f"encoder '{name}' has no such weights in timm; known: {', '.join(tagged)}")


for _entry in (*general.ENTRIES, *blood.ENTRIES, *pathology.ENTRIES):
    register(_entry)
