"""What the scripts of shared artefacts call: whose ids there are, what is handed out in their place, and a last look."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from histoweave.io import read_table
from histoweave.privacy.content import pseudonymised
from histoweave.privacy.key import read_key
from histoweave.privacy.pseudonyms import Pseudonyms


def tissue_pseudonyms(
    params: Mapping[str, str], *, patients: Path, slides: Path | None = None, samples: Path | None = None
) -> Pseudonyms | None:
    """The pseudonyms of a cohort of slides and RNA, None if the run wants none.

    Parameters
    ----------
    params : of `privacy_params`.
    patients, slides, samples : the cohort's tables; a slide's file is known by its path, name and stem too.
    """
    if not params:
        return None
    ids: dict[str, Iterable[str]] = {"patient": read_table(patients, ["patient"])["patient"]}
    also: dict[str, str] = {}
    if slides is not None:
        table = read_table(slides, ["slide", "path"])
        ids["slide"] = table["slide"]
        for slide, path in table.itertuples(index=False):
            also |= {name: slide for name in (path, Path(path).name, Path(path).stem) if path and name not in also}
    if samples is not None:
        ids["sample"] = read_table(samples, ["sample"])["sample"]
    return Pseudonyms(read_key(params["key_env"]), ids, also=also)


def concept_pseudonyms(params: Mapping[str, str], images: Iterable[pd.DataFrame], *, kind: str) -> Pseudonyms | None:
    """The pseudonyms of a page of concepts, None if the run wants none.

    Parameters
    ----------
    images : `images.parquet` of every cohort on the page. kind : of its images, `cell` or `slide`.
    """
    if not params:
        return None
    table = pd.concat([each[["image", "patient"]] for each in images])
    ids = {kind: table["image"].unique(), "patient": table["patient"].dropna().unique()}
    return Pseudonyms(read_key(params["key_env"]), ids)


def shared_inputs(inputs: Any, names: Pseudonyms | None) -> Any:
    """The inputs of a page (a dataclass with a field `pseudonyms`) as the page may show them.

    Its tables are read from files and get their pseudonyms as they are read. The configuration, the names of hashed
    inputs and the keys of every mapping to files get them here. Pictures that are a text are left out: a slide that
    could not be opened is shown as its id and the reason.
    """
    if names is None:
        return inputs
    changes: dict[str, Any] = {"pseudonyms": names}
    for field in dataclasses.fields(inputs):
        value = getattr(inputs, field.name)
        if field.name == "config":
            changes[field.name] = pseudonymised(value, names)
        elif field.name == "input_sha256":
            changes[field.name] = {names.text(path): sha256 for path, sha256 in value.items()}
        elif isinstance(value, Mapping) and all(isinstance(path, Path) for path in value.values()):
            shown = {key: path for key, path in value.items() if not _is_text_file(path)}
            changes[field.name] = {
                names.name(key, "slide") if names.kind(key, "slide") else names.text(key): path
                for key, path in shown.items()
            }
    return dataclasses.replace(inputs, **changes)


def is_text(picture: Image.Image) -> bool:
    """Whether an opaque picture has no colour at all, as tiling draws its messages; stained tissue has."""
    if picture.mode not in ("RGB", "L"):
        return False
    pixels = np.asarray(picture.convert("RGB"))
    return bool((pixels == pixels[:, :, :1]).all())


def _is_text_file(path: Path) -> bool:
    if path.suffix != ".png":
        return False
    with Image.open(path) as picture:
        return is_text(picture)


def check_shared(path: str | Path, names: Pseudonyms | None) -> None:
    """Look through a finished artefact once more.

    Raises
    ------
    RuntimeError
        if an id still stands in it: a fault of the workflow, which must not leave the house.
    """
    if names is None:
        return
    leaks = names.leaks(Path(path).read_text(encoding="utf-8"))
    if leaks:
        raise RuntimeError(f"{path} still holds {len(leaks)} original ids, such as '{leaks[0]}'; please report this")
