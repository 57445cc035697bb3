"""A matrix of numbers with names at both sides: text, parquet or h5ad. Names are text as the file has them."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from histoweave.errors import InputError, short
from histoweave.tabular.fields import DELIMITERS, OWN, Grid, clean, grid, split_line
from histoweave.tabular.missing import SPELLINGS, is_missing
from histoweave.tabular.named_matrix import MAX_VALUES, NamedMatrix
from histoweave.tabular.numbers import NUMBER, are_thousands, looks_numeric, parse_numbers
from histoweave.tabular.reading import Reading
from histoweave.tabular.table import check_characters, rising, skipped
from histoweave.tabular.text import read_text_file

MAX_MATRIX_BYTES = 8 << 30
_CHUNK_LINES = 4096
_CHUNK_VALUES = 1 << 22
_CORNERS = frozenset(
    {
        "", "gene", "genes", "gene_id", "gene_ids", "gene_name", "gene_names", "gene_symbol", "geneid", "genename",
        "genesymbol", "symbol", "symbols", "hgnc", "hgnc_symbol", "hgnc_id", "hugo_symbol", "hugo", "ensembl", "ensembl_id",
        "ensembl_gene_id", "entrez", "entrez_id", "entrezid", "entrez_gene_id", "ncbi_gene_id", "probe", "probe_id",
        "probeset", "transcript", "transcript_id", "accession", "description", "id", "ids", "name", "names", "feature",
        "features", "feature_id", "index", "rowname", "rownames", "row_names", "unnamed:_0", "x", "sample", "samples",
        "sample_id", "sampleid", "sample_name", "patient", "patients", "patient_id", "patientid", "subject", "subject_id",
        "case", "case_id", "barcode", "fall", "proband", "patid", "pat_id", "pid", "target_id", "tracking_id", "gen",
        "gene_short_name", "sonde", "donor", "donor_id", "individual", "tumor", "tumour", "label", "#name", "ref_id",
    }
)  # fmt: skip
_SUFFIXES = (*OWN, ".parquet", ".h5ad")


def read_matrix(path: str | Path, *, words: Callable[[str], bool] = lambda heading: False) -> NamedMatrix:
    """Read a matrix by its file's ending: `.tsv`, `.txt`, `.csv` (also `.gz`), `.parquet`, `.h5ad`.

    A column whose first value is a word holds words; what becomes of it is for the caller to decide.

    Parameters
    ----------
    words: whether a column of that heading may hold words even where its first value is a number (chromosomes).

    Raises
    ------
    InputError
        one line naming file and line or column: unreadable, damaged or too large; lengths that differ; a value that is no
        number; names that are no text and cannot be told as they were written; names at a side that could be two columns.
    """
    path = Path(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    if kind in OWN:
        found = _read_text(path, ending=kind, may_be_words=words)
    elif kind in (".parquet", ".h5ad"):
        from histoweave.tabular.stored import read_h5ad, read_parquet  # pyarrow and anndata take a second to import

        found = read_parquet(path, may_be_words=words) if kind == ".parquet" else read_h5ad(path)
    else:
        raise InputError(f"{path}: unknown form '{kind}'; use one of {', '.join(_SUFFIXES)} or a folder")
    for side, names in (("columns", found.column_names), ("rows", found.row_names)):
        check_characters(names, where=f"{path}, names of the {side}")
    return found


def _read_text(path: Path, *, ending: str, may_be_words: Callable[[str], bool]) -> NamedMatrix:
    text = read_text_file(path, max_bytes=MAX_MATRIX_BYTES)
    lines = grid(text.lines, file=str(path), ending=ending)
    numbers: Sequence[int]
    names: Sequence[str]
    rests: Sequence[str]
    numbers, names, rests = zip(*lines.raw_rows(), strict=True)
    corner, columns = (None, lines.header) if lines.names_in_front else (lines.header[0], lines.header[1:])
    notes = skipped(lines)
    if _row_numbers_in_front(corner, columns, names, lines):
        corner, columns = (lines.header[0], lines.header[1:]) if corner is None else (columns[0], columns[1:])
        names, rests = _without_row_numbers(rests, lines)
        notes.append("row numbers in front of the lines left out")
    elif corner is None:
        notes.append("the header has no heading for the names of the lines, as R writes it")
    if _unnamed(corner) and list(names) in _counts(len(names)):
        raise InputError(
            f"{path}, row {numbers[0]}: the lines are only numbered ({names[0]} to {names[-1]}, without a heading), and numbers "
            "of lines are no ids; give the ids, with a heading such as 'patient' or 'gene'"
        )
    if not columns:
        raise InputError(f"{path}: no values beside the names; check the separator (.tsv: tab, .csv: comma)")
    if len(lines) * len(columns) > MAX_VALUES:
        raise InputError(f"{path}: holds more than {MAX_VALUES:,} values, too many for one matrix; check the file")
    rests, columns, texts = _without_words(list(rests), list(columns), lines, may_be_words)
    if not columns:
        raise InputError(f"{path}: holds no numbers, only words; give a matrix of genes and samples")
    if are_thousands(_fields_with_points(rests, lines.delimiter)):
        raise InputError(
            f"{path}: every number with a point reads as thousands (1.234 for 1234), beside numbers without a point; write "
            "them without separators of thousands, or with a digit less or more if they are decimal"
        )
    values = np.concatenate(
        [
            _chunk(rests[part], numbers[part], names[part], lines, columns)
            for part in (slice(at, at + _CHUNK_LINES) for at in range(0, len(rests), _CHUNK_LINES))
        ]
    )
    empty = [at for at, name in enumerate(columns) if not name and np.isnan(values[:, at]).all()]
    if empty:
        notes.append("columns without heading and values left out")
        values = np.delete(values, empty, axis=1)
        columns = [name for at, name in enumerate(columns) if at not in empty]
    reading = Reading(
        file=str(path),
        form="text",
        rows=len(names),
        columns=len(columns),
        delimiter=DELIMITERS[lines.delimiter],
        encoding=text.encoding,
        notes="; ".join(notes),
    )
    certain = corner is not None or lines.as_r_writes
    return NamedMatrix(values, list(names), columns, corner, reading, list(numbers), texts, certain)


def _fields_with_points(rests: Sequence[str], delimiter: str) -> Iterator[str]:
    """The fields of the lines that have a point, and of one that has none."""
    plain = next((rest for rest in rests if "." not in rest), "")
    for rest in itertools.chain([plain], (rest for rest in rests if "." in rest)):
        yield from map(str.strip, rest.split(delimiter))


def _without_words(
    rests: list[str], columns: list[str], lines: Grid, may_be_words: Callable[[str], bool]
) -> tuple[list[str], list[str], dict[str, list[str]]]:
    """Rests and headings of the columns of values, and the columns of words by heading."""
    mark = lines.delimiter
    first: dict[int, str] = {}
    for rest in rests[:100]:
        for at, text in enumerate(rest.split(mark)):
            if at not in first and not is_missing(text):
                first[at] = text.strip()
        if len(first) == len(columns):
            break
    words = [at for at, text in first.items() if not NUMBER.fullmatch(text) and not looks_numeric(text)]
    words = sorted({*words, *(at for at, heading in enumerate(columns) if may_be_words(heading))})
    if not words:
        return rests, columns, {}
    split = [rest.split(mark) for rest in rests]
    texts: dict[str, list[str]] = {}
    for at in words:
        if columns[at] in texts:
            raise InputError(f"{lines.file}: column {short(columns[at])} occurs twice; keep one of them")
        texts[columns[at]] = [clean(fields[at]) for fields in split]
    kept = [at for at in range(len(columns)) if at not in set(words)]
    return [mark.join(fields[at] for at in kept) for fields in split], [columns[at] for at in kept], texts


def _unnamed(corner: str | None) -> bool:
    return corner is None or corner.casefold() in ("", "unnamed: 0")


def _counts(n: int) -> tuple[list[str], list[str]]:
    """The numbers that R and pandas give to lines that nobody named."""
    return [str(number) for number in range(n)], [str(number) for number in range(1, n + 1)]


def _row_numbers_in_front(corner: str | None, columns: Sequence[str], names: Sequence[str], lines: Grid) -> bool:
    """Whether the names of the lines are row numbers, and the names stand in the next column under a heading of theirs.

    Raises
    ------
    InputError
        where the header's first heading is one for names, and each line has a field more that is no row number.
    """
    if not columns or not _unnamed(corner) or not columns[0] or not is_heading(columns[0]):
        return False
    if corner is None:
        if not lines.as_r_writes or list(names) not in _counts(len(names)):
            raise lines.misfit()
        return True
    return rising(names)


def is_heading(heading: str) -> bool:
    """Whether a heading is one for names, so that none is missing in front of it."""
    return re.sub(r"[ .-]", "_", heading.casefold()) in _CORNERS


def _without_row_numbers(rests: Sequence[str], lines: Grid) -> tuple[list[str], list[str]]:
    """Names and values of lines that R numbered in front of the names."""
    split = [
        split_line(rest, lines.delimiter, lines.file, number) for rest, number in zip(rests, lines.numbers, strict=True)
    ]
    return [clean(fields[0]) for fields in split], [lines.delimiter.join(fields[1:]) for fields in split]


def _chunk(
    rests: Sequence[str], numbers: Sequence[int], names: Sequence[str], lines: Grid, columns: Sequence[str]
) -> np.ndarray:
    """Values of some lines: by pandas where all are plain numbers, else field by field, which names the wrong one."""
    # Few lines at once where they are long. Columns lie in one piece, as pandas has them: sums depend on it in the last bit.
    step, values = max(1, _CHUNK_VALUES // len(columns)), np.empty((len(rests), len(columns)), order="F")
    for at in range(0, len(rests), step):
        part = _plain_numbers(rests[at : at + step], lines.delimiter, len(columns))
        if part is None:
            break
        values[at : at + step] = part
    else:
        return values
    return np.stack(
        [
            parse_numbers(
                [""] if len(columns) == 1 and not rest else split_line(rest, lines.delimiter, lines.file, number),
                where=f"{lines.file}, row {number} ({short(name)})",
                columns=columns,
            )
            for number, name, rest in zip(numbers, names, rests, strict=True)
        ]
    )


def _plain_numbers(rests: Sequence[str], delimiter: str, n_columns: int) -> np.ndarray | None:
    """(R, C) float64; None where not every field is a plain number or missing."""
    try:
        table = pd.read_csv(
            io.BytesIO("\n".join(rests).encode()),
            sep=delimiter,
            header=None,
            names=range(n_columns),
            index_col=False,
            low_memory=False,
            na_values=SPELLINGS,
            keep_default_na=False,
            quoting=3,  # none: quoted fields have been taken apart
            skip_blank_lines=False,
            float_precision="round_trip",
        )
    except (ValueError, OverflowError):
        return None
    # Types are only a way to be fast here: names have been taken out, and whole numbers are parsed four times as fast.
    if table.shape == (len(rests), n_columns) and all(kind.kind in "iuf" for kind in table.dtypes):
        return table.to_numpy(np.float64)
    return None


def check_unique(names: Iterable[str], *, file: str, what: str) -> None:
    """Refuse a name that occurs twice.

    Raises
    ------
    InputError
        naming the name.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{file}: {what} {short(name)} appears twice; keep one of them")
        seen.add(name)
