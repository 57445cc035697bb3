"""What the scripts of shared artefacts call: whose ids there are, what is handed out in their place, and a last look."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from histoweave.privacy.content import pseudonymised
from histoweave.privacy.files import FileNames, UserFiles
from histoweave.privacy.key import read_key
from histoweave.privacy.pseudonyms import Pseudonyms
from histoweave.privacy.values import HiddenValues
from histoweave.storage.files import read_table


def cohort_pseudonyms(
    params: Mapping[str, Any],
    *,
    patients: Path | None = None,
    slides: Path | None = None,
    samples: Path | None = None,
    images: Iterable[pd.DataFrame] = (),
    kind: str = "cell",
    files: UserFiles | None = None,
) -> Pseudonyms | None:
    """The pseudonyms of a cohort, None if the run wants none.

    Parameters
    ----------
    params : of `privacy_params`.
    patients, slides, samples : its tables, as far as it has slides or RNA; a slide's file is known by its path, name
        and stem too.
    images, kind : its table of images and their kind, `cell` or `slide`, as far as it has concepts.
    files : other files of the user (see `user_files.read_files`).
    """
    if not params:
        return None
    ids, values = _of_images([*([] if patients is None else [read_table(patients)]), *images], kind)
    files = files or UserFiles()
    if slides is not None:
        named = read_table(slides, ["slide", "path"])
        ids["slide"] = [*named["slide"], *ids.get("slide", [])]
        files = dataclasses.replace(files, pairs=[*files.pairs, *named.itertuples(index=False, name=None)])
    if samples is not None:
        ids["sample"] = read_table(samples, ["sample"])["sample"].to_list()
    return _pseudonyms(params, ids, values, files=files)


def concept_pseudonyms(
    params: Mapping[str, Any], images: Iterable[pd.DataFrame], *, kind: str, files: UserFiles | None = None
) -> Pseudonyms | None:
    """The pseudonyms of a page of concepts, None if the run wants none.

    Parameters
    ----------
    images : `images.parquet` of every cohort on the page. kind : of its images, `cell` or `slide`.
    files : files of the user (see `user_files.read_files`).
    """
    return _pseudonyms(params, *_of_images(images, kind), files=files or UserFiles()) if params else None


def _of_images(tables: Iterable[pd.DataFrame], kind: str) -> tuple[dict[str, list[str]], list[pd.DataFrame]]:
    """The ids in tables of patients and of images by their kind, and the tables."""
    tables = list(tables)
    ids: dict[str, list[str]] = {}
    for column, of in (("image", kind), ("patient", "patient")):
        found = [table[column].dropna() for table in tables if column in table]
        if found:
            ids[of] = list(pd.concat(found).unique())
    return ids, tables


def _pseudonyms(
    params: Mapping[str, Any],
    ids: Mapping[str, Iterable[str]],
    tables: Iterable[pd.DataFrame],
    *,
    files: UserFiles,
) -> Pseudonyms:
    """Pseudonyms of these ids, and words for the values that the tables have in the columns that `params` hides."""
    key = read_key(params["key_env"])
    values: dict[str, set[str]] = {column: set() for column in params["columns"]}
    for table in tables:
        for column in values.keys() & set(table.columns):
            values[column] |= set(table[column].dropna().astype(str))
    names = FileNames.of(files.pairs, words=files.words)
    return Pseudonyms(key, ids, files=names, values=HiddenValues(key, values))


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
    with Image.open(path, formats=("PNG",)) as picture:
        return is_text(picture)


def check_shared(path: str | Path, names: Pseudonyms | None) -> None:
    """Look through a finished artefact once more.

    Raises
    ------
    RuntimeError
        if an id or a hidden value still stands in it: a fault of the workflow, which must not leave the house.
    """
    if names is None:
        return
    leaks = names.leaks(Path(path).read_text(encoding="utf-8"))
    if leaks:
        raise RuntimeError(
            f"{path} still holds {len(leaks)} original ids or hidden values, such as '{leaks[0]}'; please report this"
        )
