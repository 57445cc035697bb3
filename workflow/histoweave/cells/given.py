"""Embeddings of cells that were made elsewhere: a folder with a file per patient."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from histoweave.errors import InputError, nearest
from histoweave.ids import ID

if TYPE_CHECKING:
    from histoweave.settings.cohorts import CellInput

logger = logging.getLogger(__name__)

_MOST_NAMED = 20


def embedding_files(
    cells: CellInput, *, patients: Collection[str] | None = None, patients_file: str = "the patients table"
) -> dict[str, str]:
    """Patient → file, of the folder `cells.embeddings` with one `<patient>.h5` (or `.hdf5`) each; sorted by patient.

    Hidden files, as systems and copying programs leave them, are no patients. What else lies there is named in the log.

    Raises
    ------
    InputError
        if the folder is missing or without such files, for two files of a patient, or for a patient that `patients` does
        not hold.
    """
    assert cells.embeddings is not None
    folder = Path(cells.embeddings)
    if not os.path.isdir(folder):
        raise InputError(f"cells.embeddings '{folder}' is not a folder; give the folder with one <patient>.h5 each")
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"cells.embeddings '{folder}' cannot be listed: {error.strerror}") from None
    files = [path for path in entries if path.suffix.lower() in (".h5", ".hdf5")]
    if not files:
        raise InputError(f"cells.embeddings '{folder}' holds no .h5 files; it needs one <patient>.h5 each")
    if others := [path for path in entries if path not in files]:
        names = ", ".join(os.fsencode(path.name).decode("utf-8", "backslashreplace") for path in others[:_MOST_NAMED])
        logger.info("%s: %d entries are no .h5 files and are not read: %s", folder, len(others), names)
    found: dict[str, str] = {}
    for path in sorted(files, key=lambda path: path.stem):
        if path.stem in found:
            raise InputError(
                f"{path}: patient '{path.stem}' has another file, {Path(found[path.stem]).name}; keep the right one"
            )
        found[path.stem] = str(path)
    for patient, file in found.items():
        if not ID.fullmatch(patient):
            raise InputError(
                f"{file}: '{patient}' is not a valid patient id; use letters, digits, '.', '_' and '-' only"
            )
        if patients is not None and patient not in patients:
            raise InputError(
                f"{file}: unknown patient '{patient}'{nearest(patient, patients)}; "
                f"add the patient to {patients_file} or remove the file"
            )
    return found
