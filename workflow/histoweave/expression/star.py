"""A folder of GDC STAR-Counts files (one per sample, names without barcodes) and the sample sheet that names them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from histoweave.errors import InputError
from histoweave.expression.identifiers import is_missing
from histoweave.ids import dashed, is_tcga
from histoweave.tabular.reading import counted
from histoweave.tabular.table import read_table
from histoweave.tabular.text import read_text_file

if TYPE_CHECKING:
    from histoweave.settings.cohorts import ExpressionInput

COLUMNS = {"counts": "unstranded", "tpm": "tpm_unstranded", "fpkm": "fpkm_unstranded"}
# A file of 60,660 genes has 4 MB.
_MOST_BYTES = 512 * 2**20


@dataclass(frozen=True)
class StarFile:
    """One file: ids, names (symbols, or the id where there is none) and values (float64, NaN of `N_` rows without one)."""

    ids: list[str]
    names: list[str]
    values: np.ndarray


def read_star_folder(folder: Path, source: ExpressionInput) -> tuple[pd.DataFrame, str]:
    """Values of all samples of the sheet: genes × samples, float64, in the order of the files; and a note on files that no
    row of the sheet names.

    The index has gene symbols (the Ensembl id where there is none), which may repeat, and the `N_` rows.

    Raises
    ------
    InputError
        for a missing sheet or file, a sample or a file that is listed twice, two files of one name, a damaged file, or
        files that do not hold the same genes.
    """
    if source.unit not in COLUMNS:
        raise InputError(f"{folder}: STAR-Counts files hold {', '.join(COLUMNS)}, not '{source.unit}'; set unit")
    if source.sample_sheet is None:
        raise InputError(
            f"{folder}: a folder of STAR-Counts files needs expression.sample_sheet (the GDC sample sheet)"
        )
    sheet_path = Path(source.sample_sheet)
    first: tuple[Path, StarFile] | None = None
    columns: dict[str, np.ndarray] = {}
    present = files_under(folder)
    samples = list(_samples(sheet_path, folder, present))
    for sample, path in samples:
        read = read_star_file(path, COLUMNS[source.unit])
        if first is None:
            first = path, read
        elif read.ids != first[1].ids:
            raise InputError(_other_genes(path, read.ids, first[0], first[1].ids))
        columns[sample] = read.values
    if first is None:
        raise InputError(f"{sheet_path}: lists no file; download the sample sheet of the files in {folder}")
    return pd.DataFrame(columns, index=first[1].names), _unlisted(present, [*(path for _, path in samples), sheet_path])


def _unlisted(present: dict[str, list[Path]], listed: list[Path]) -> str:
    """A note on files of counts that are not read; other files of a download (annotations, manifests) are none."""
    known = {os.path.realpath(path) for path in listed}
    others = [path for paths in present.values() for path in paths if os.path.realpath(path) not in known]
    names = sorted(path.name for path in others if "star_gene_counts" in path.name or path.suffix in (".tsv", ".gz"))
    return f"{counted(len(names), 'file')} that no row of the sheet names, such as {names[0]}" if names else ""


def _other_genes(path: Path, ids: list[str], other: Path, others: list[str]) -> str:
    """What is wrong with two files that do not hold the same rows."""
    short, long = sorted([(path, ids), (other, others)], key=lambda file: len(file[1]))
    n = len(short[1])
    if n < len(long[1]) and short[1] == long[1][:n]:
        return (
            f"{short[0]}: ends after {n} of the {len(long[1])} rows that {long[0]} has: the file is cut short; "
            "download it again"
        )
    row = next((i for i, (a, b) in enumerate(zip(ids, others, strict=False)) if a != b), n)
    here, there = (f"'{rows[row][:60]}'" if row < len(rows) else "nothing" for rows in (ids, others))
    return (
        f"{path}: does not hold the genes of {other}: {len(ids)} rows against {len(others)}, and {here} where the other "
        f"has {there}; download both again, made by one version of the workflow of GDC"
    )


def _samples(sheet_path: Path, folder: Path, present: dict[str, list[Path]]) -> Iterator[tuple[str, Path]]:
    """Sample and file of each row of the sheet."""
    given = read_table(
        str(sheet_path), required=("File Name", "Sample ID"), hint="use the GDC sample sheet as downloaded"
    )
    sheet = given.rows
    cases = dict(
        zip(given.numbers.tolist(), sheet["Case ID"] if "Case ID" in sheet else [""] * len(sheet), strict=True)
    )
    file_ids = list(sheet["File ID"]) if "File ID" in sheet else [""] * len(sheet)
    of_sample: dict[str, int] = {}
    of_file: dict[str, int] = {}
    rows = zip(sheet["File Name"], sheet["Sample ID"], file_ids, strict=True)
    for row, (name, sample, file_id) in zip(given.numbers.tolist(), rows, strict=True):
        where = f"{sheet_path}, row {row}"
        for column, value in (("File Name", name), ("Sample ID", sample)):
            if not value:
                raise InputError(f"{where}: column '{column}' is empty; use the GDC sample sheet as downloaded")
        case = cases[row]
        if is_tcga(case) and is_tcga(sample) and dashed(case)[:12] != dashed(sample)[:12]:
            raise InputError(
                f"{where}: Case ID '{case}' and Sample ID '{sample}' are of different patients; use the sheet as downloaded"
            )
        if "," in sample:
            raise InputError(f"{where}: Sample ID '{sample}' names several samples; keep one sample per file")
        if sample in of_sample:
            raise InputError(
                f"{where}: Sample ID '{sample}' appears twice, already in row {of_sample[sample]}; keep one file per sample"
            )
        path = _file(present.get(name, []), name, file_id, others=set(file_ids) - {file_id}, where=where, folder=folder)
        real = os.path.realpath(path)
        if real in of_file:
            raise InputError(
                f"{where}: file '{name}' is that of row {of_file[real]} too; give the sheet's column 'File ID', and each "
                "file in a folder of that name, as the GDC client downloads them"
            )
        of_sample[sample], of_file[real] = row, row
        yield sample, path


def _file(candidates: list[Path], name: str, file_id: str, *, others: set[str], where: str, folder: Path) -> Path:
    """The file of a row: in the folder called by its File ID if there is one, else the only one of its name."""
    if not candidates:
        raise InputError(f"{where}: file '{name}' is not in {folder}; download it or drop the row")
    own = [path for path in candidates if file_id and path.parent.name == file_id]
    # Another row's folder holds that row's file, even under the same name.
    foreign = [path for path in candidates if path.parent.name and path.parent.name in others]
    left = own or [path for path in candidates if path not in foreign]
    if not left:
        raise InputError(
            f"{where}: file '{name}' lies in the folder '{foreign[0].parent.name}' of another row's File ID, and not in "
            f"'{file_id}'; download it again"
        )
    if len(left) > 1:
        raise InputError(
            f"{where}: two files are called '{name}': {left[0]} and {left[1]}; keep one, or each in a folder called by its "
            "File ID"
        )
    return left[0]


def files_under(folder: Path) -> dict[str, list[Path]]:
    """Name → files under `folder`, hidden ones left out; links are followed, each folder once."""
    found: dict[str, list[Path]] = {}
    seen: set[str] = set()
    try:
        for where, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
            real = os.path.realpath(where)
            folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
            if real in seen:
                continue
            seen.add(real)
            for name in sorted(names):
                path = Path(where) / name
                if not name.startswith(".") and path.is_file():
                    found.setdefault(name, []).append(path)
    except OSError as error:
        raise InputError(
            f"{error.filename or folder}: cannot be listed ({error.strerror}); fix its access rights"
        ) from None
    return found


def _raise(error: OSError) -> None:
    raise error


def read_star_file(path: Path, column: str) -> StarFile:
    """One STAR-Counts file: comments, a header, four `N_` rows, then genes.

    Raises
    ------
    InputError
        for a file that cannot be read, is cut short, or whose lines do not have the header's fields.
    """
    text = read_text_file(path, max_bytes=_MOST_BYTES)
    lines = text.lines
    start = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if start is None:
        raise InputError(f"{path}: the file is empty; download it again")
    header = lines[start].split("\t")
    for name in ("gene_id", "gene_name", column):
        if name not in header:
            raise InputError(
                f"{path}: is not a STAR-Counts file: column '{name}' is missing; it needs gene_id, gene_name, {column}"
            )
    at_id, at_name, at_value = (header.index(name) for name in ("gene_id", "gene_name", column))
    ids, names, texts, numbers = [], [], [], []
    for number, line in enumerate(lines[start + 1 :], start=start + 2):
        fields = line.split("\t")
        unfinished = number == len(lines) and not text.ended
        if fields == [""]:
            continue
        # Without its line end, the last field of a file may have lost its last digits.
        if unfinished and (len(fields) < len(header) or at_value == len(header) - 1):
            raise InputError(f"{path}: line {number} has no end: the file is cut short; download it again")
        if len(fields) != len(header):
            raise InputError(
                f"{path}: line {number} has {len(fields)} fields and the header has {len(header)}: the file is damaged; "
                "download it again"
            )
        gene, name = fields[at_id].strip(), fields[at_name].strip()
        ids.append(gene)
        names.append(gene if is_missing(name) else name)
        texts.append(fields[at_value].strip())
        numbers.append(number)
    if not ids:
        raise InputError(f"{path}: has a header but no genes; download it again")
    return StarFile(ids, names, _values(path, ids, texts, numbers, column))


def _values(path: Path, ids: list[str], texts: list[str], numbers: list[int], column: str) -> np.ndarray:
    values = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(np.float64)
    for index in np.flatnonzero(np.isnan(values)):
        if not (ids[index].startswith("N_") and not texts[index]):  # such rows have counts only
            raise InputError(
                f"{path}: line {numbers[index]}: '{texts[index][:60]}' of '{ids[index][:60]}' in column {column} is not a "
                "number: the file is damaged; download it again"
            )
    return values
