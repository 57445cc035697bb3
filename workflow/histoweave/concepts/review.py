"""An expert's answers, as the gallery saves them: names and verdicts of concepts, of one dictionary."""

from __future__ import annotations

import csv
import io
import os
import re

import pandas as pd

from histoweave.errors import InputError, nearest
from histoweave.tabular.table import check_characters
from histoweave.tabular.text import read_text_file

COLUMNS = ["concept", "name", "verdict", "comment", "sae_sha256"]
VERDICTS = ("accepted", "rejected", "")
MAX_NAME, MAX_COMMENT = 100, 2000
_MAX_BYTES = 1 << 28
_FORMULA = re.compile(r"'*[=+\-@\t\r＝＋－＠]")
NO_REVIEW = pd.DataFrame({column: pd.Series(dtype=object) for column in COLUMNS[1:4]}).assign(
    concept=pd.Series(dtype="int64")
)[COLUMNS[:4]]


def read_review(path: str | os.PathLike, *, sae_sha256: str, n_latents: int | None = None) -> pd.DataFrame:
    """Read the CSV that the gallery saved, or a spreadsheet program saved again (byte order mark, semicolons).

    What stands in `name` and `comment` is text and nothing else; whoever shows it escapes it. Texts are as they were
    typed in the gallery, without the apostrophe that guards spreadsheets.

    Parameters
    ----------
    sae_sha256: of the dictionary that the answers have to be about. n_latents: its size, if known.

    Returns
    -------
    `concept` (int64), `name`, `verdict` (`accepted`, `rejected` or empty), `comment`, sorted by concept.

    Raises
    ------
    InputError
        naming file and row (the header is row 1) if the file is missing or not such a table, a concept is repeated or
        impossible, a verdict unknown, a text too long, or a row about another dictionary.
    """
    found: dict[int, dict] = {}
    for row, cells in _rows(path):
        where = f"{path}, row {row}"
        concept = _concept(cells["concept"], n_latents, where=where)
        if cells["sae_sha256"] != sae_sha256:
            raise InputError(
                f"{where}: the answer is about another sparse autoencoder ({cells['sae_sha256'][:12] or 'none given'}, "
                f"this one is {sae_sha256[:12]}), and names cannot be transferred to another dictionary; "
                "remove concepts.review from the config and review the new gallery"
            )
        if concept in found:
            raise InputError(f"{where}: concept {concept} occurs twice; keep one of its rows")
        cells |= {column: _restored(cells[column]) for column in ("name", "comment")}
        verdict = cells["verdict"].lower()
        if verdict not in VERDICTS:
            raise InputError(
                f"{where}: unknown verdict '{_short(verdict)}'{nearest(verdict, VERDICTS[:2])}; "
                "use accepted, rejected, or nothing"
            )
        for column, limit in (("name", MAX_NAME), ("comment", MAX_COMMENT)):
            if len(cells[column]) > limit:
                raise InputError(f"{where}: the {column} has {len(cells[column])} characters; use at most {limit}")
        name = " ".join(cells["name"].split())
        check_characters([name, " ".join(cells["comment"].split())], where=where)
        found[concept] = {"concept": concept, "name": name, "verdict": verdict, "comment": cells["comment"]}
    if not found:
        return NO_REVIEW.copy()
    return pd.DataFrame([found[concept] for concept in sorted(found)], columns=NO_REVIEW.columns)


def rejected_concepts(path: str | os.PathLike, *, sae_sha256: str, n_latents: int) -> list[int]:
    """The concepts that a review (see `read_review`) rejects, sorted.

    Raises
    ------
    InputError
        as `read_review`, and if it rejects every concept of the dictionary.
    """
    review = read_review(path, sae_sha256=sae_sha256, n_latents=n_latents)
    rejected = review.loc[review["verdict"] == "rejected", "concept"].tolist()
    if len(rejected) == n_latents:
        raise InputError(
            f"{path}: rejects all {n_latents} concepts, so none is left to classify with; keep some, "
            "or set concepts.leave_out_rejected to false"
        )
    return rejected


def _rows(path: str | os.PathLike) -> list[tuple[int, dict[str, str]]]:
    """Row number and stripped cells of every row that is not blank."""
    # Comments may have several lines, which no other table of users may: the gallery's own form is read by RFC 4180.
    text = "\n".join(read_text_file(path, max_bytes=_MAX_BYTES).lines)
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first else ",", strict=True)
    try:
        table = list(reader)
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: is not a CSV ({error}); save the answers again") from None
    header = [cell.strip() for cell in table[0]] if table else []
    repeated = [column for column in COLUMNS if header.count(column) > 1]
    if repeated:
        raise InputError(f"{path}: column '{repeated[0]}' occurs twice; keep one")
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise InputError(f"{path}: column '{missing[0]}' is missing; the gallery saves {', '.join(COLUMNS)}")
    rows = []
    for row, cells in enumerate(table[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise InputError(
                f"{path}, row {row}: has {len(cells)} cells, but the header has {len(header)}; fix the row"
            )
        rows.append((row, {column: cell.strip() for column, cell in zip(header, cells, strict=True)}))
    return rows


def _restored(text: str) -> str:
    """A text without the apostrophe that the gallery puts before what a spreadsheet would run as a formula."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _concept(text: str, n_latents: int | None, *, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InputError(f"{where}: concept '{_short(text)}' is not a number of a latent; fix or remove the row")
    if n_latents is not None and int(text) >= n_latents:
        raise InputError(f"{where}: there is no concept {text}, the dictionary has 0 to {n_latents - 1}; drop the row")
    return int(text)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"
