"""Lines to fields: delimiter, quotation marks, header and the lengths of all lines, checked before anything is read."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from histoweave.errors import InputError
from histoweave.tabular.missing import ERRORS
from histoweave.tabular.numbers import looks_numeric

DELIMITERS = {"\t": "tab", ",": "comma", ";": "semicolon", " ": "space"}
# A file's own delimiter, by its ending; others are tried only where the header does not hold it.
OWN = {".tsv": "\t", ".txt": "\t", ".csv": ","}
# A first field of a spreadsheet that begins with '#' and is no comment.
_SPREADSHEET_WORD = re.compile(rf"(#N/?A|#NV|{ERRORS.pattern})(?=[\t,;]|$)", re.IGNORECASE)
# As spreadsheet programs state the delimiter in front of the header.
_STATED = re.compile(r"\"?sep=(.)\"?\s*", re.IGNORECASE)
_AROUND = "\ufeff\u200b"


@dataclass(frozen=True)
class Grid:
    """The lines of a text table, each with as many fields as the header.

    Attributes
    ----------
    header: headings, stripped; `names_in_front` tells that each line has one field more, its name, in front. Whether that
        can be so is for the reader to decide: a stray delimiter in every line looks alike. `as_r_writes`: with tabs, or
        with headings in quotation marks, it is certain enough.
    numbers: the number of each line in the file, from 1.
    """

    file: str
    header: list[str]
    delimiter: str
    names_in_front: bool
    as_r_writes: bool
    numbers: list[int]
    n_comments: int
    n_blank: int
    n_surplus: int
    _lines: list[str] = field(repr=False)

    def misfit(self) -> InputError:
        """That lines have a field more than the header, for a reader to which these are no names."""
        return unequal(self.file, self.numbers[0], len(self.header) + 1, len(self.header), self.delimiter)

    def __len__(self) -> int:
        return len(self._lines)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and fields (stripped, surplus ones dropped) of each line."""
        width = len(self.header) + self.names_in_front
        for number, line in zip(self.numbers, self._lines, strict=True):
            yield number, [clean(text) for text in split_line(line, self.delimiter, self.file, number)[:width]]

    def raw_rows(self) -> Iterator[tuple[int, str, str]]:
        """Line number, first field (stripped) and the rest of each line as text, surplus fields dropped.

        For matrices: quotation marks are taken away, so a number must not hold the delimiter; in words it becomes a blank.
        """
        width = len(self.header) + self.names_in_front
        for number, line in zip(self.numbers, self._lines, strict=True):
            if '"' in line or (self.n_surplus and line.count(self.delimiter) >= width):
                first, *rest = split_line(line, self.delimiter, self.file, number)[:width]
                for at, text in enumerate(rest):
                    if self.delimiter in text and not looks_numeric(text.strip()):
                        rest[at] = text.replace(self.delimiter, " ")  # words, of which no value is made
                    elif self.delimiter in text:
                        raise InputError(
                            f"{self.file}, row {number}: the quoted field '{text[:60]}' holds a {DELIMITERS[self.delimiter]}, so "
                            "it is no number; write numbers without separators of thousands and with a decimal point"
                        )
                yield number, clean(first), self.delimiter.join(rest)
            else:
                first, _, line_rest = line.partition(self.delimiter)
                yield number, clean(first), line_rest


def clean(text: str) -> str:
    """A field without blanks and invisible marks around it."""
    return text.strip().strip(_AROUND).strip() if text and (text[0] in _AROUND or text[-1] in _AROUND) else text.strip()


def split_line(line: str, delimiter: str, file: str, number: int) -> list[str]:
    """The fields of a line; a field in quotation marks may hold delimiters, and doubled marks for one.

    Raises
    ------
    InputError
        if a quotation mark at the start of a field is not closed at the end of the field, on the same line.
    """
    if '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        if "field larger" in str(error):
            raise InputError(f"{file}, row {number}: holds a field of over 131,072 characters; shorten it") from None
        raise InputError(
            f"{file}, row {number}: a quotation mark opens a field and is not closed at the field's end; remove it, or "
            "double it inside a quoted field (a field must not hold a line break)"
        ) from None


def unequal(file: str, number: int, n_fields: int, n_headings: int, delimiter: str) -> InputError:
    """A line whose length is not that of the header."""
    return InputError(
        f"{file}, row {number}: has {n_fields} fields, and the header has {n_headings} (between {DELIMITERS[delimiter]}s); "
        "give every line as many fields as the header"
    )


def grid(lines: Sequence[str], *, file: str, ending: str) -> Grid:
    """Find the header and the delimiter, and hold the length of every line against the header.

    Lines that start with `#` are comments; blank lines, and lines of nothing but delimiters, are skipped. Fields beyond
    the header that are empty are dropped. A header one field shorter than every line is R's form.

    Parameters
    ----------
    ending: of the file's name, without `.gz`: `.tsv`, `.txt` or `.csv`.

    Raises
    ------
    InputError
        naming the line, if lengths disagree, the table can be read with two delimiters, or a quotation mark is stray.
    """
    kept, numbers, n_blank = [], [], 0
    comments: dict[int, str] = {}
    stated = ""
    for number, line in enumerate(lines, start=1):
        if line.startswith("#") and not _SPREADSHEET_WORD.match(line):
            comments[number] = line
        elif number == 1 and (found := _STATED.fullmatch(line)):
            stated = found[1]
        elif not line.strip("\t,; "):
            n_blank += 1
        else:
            kept.append(line)
            numbers.append(number)
    if not kept:
        raise InputError(f"{file}: holds no header, only comments or blank lines; add a header and rows")
    body = _Body(file, kept, numbers)
    delimiter = stated if stated in DELIMITERS else _delimiter(body, ending)
    shape = body.shape(delimiter)
    before = comments.get(numbers[0] - 1, "")
    if len(shape.header) > 1 and before.count(delimiter) + 1 in (len(shape.header), len(shape.header) + 1):
        raise InputError(
            f"{file}, row {numbers[0] - 1}: starts with '#', which makes it a comment, and looks like the header; "
            "remove the '#'"
        )
    if len(kept) == 1:
        raise InputError(f"{file}: has a header but no rows; add at least one row")
    return Grid(
        file,
        shape.header,
        delimiter,
        shape.names_in_front,
        delimiter == "\t" or kept[0].lstrip().startswith('"'),
        numbers[1:],
        len(comments),
        n_blank,
        shape.n_surplus,
        kept[1:],
    )


@dataclass(frozen=True)
class _Shape:
    header: list[str]
    names_in_front: bool
    n_surplus: int


@dataclass(frozen=True)
class _Body:
    """The header and the lines of a table whose delimiter is not known yet."""

    file: str
    lines: list[str]
    numbers: list[int]

    def fields(self, at: int, delimiter: str) -> list[str]:
        return split_line(self.lines[at], delimiter, self.file, self.numbers[at])

    def n_headings(self, delimiter: str) -> int:
        """Headings between these delimiters; 1 where quotation marks do not go with them."""
        try:
            return len(self.fields(0, delimiter))
        except InputError:
            return 1

    def fits(self, delimiter: str) -> bool:
        try:
            shape = self.shape(delimiter)
        except InputError:
            return False
        return len(shape.header) > 1 or shape.names_in_front

    def shape(self, delimiter: str) -> _Shape:
        """The headings, and whether lines have a name in front of them; `InputError` for the first line that misfits."""
        headings = [clean(text) for text in self.fields(0, delimiter)]
        n = _used(headings, 0)
        counts, used = self._lengths(delimiter, n)
        n_surplus = max([len(headings), *counts], default=n) - n
        if all(length == n for length in used):
            return _Shape(headings[:n], False, n_surplus)
        # R writes NA for a missing value, so that the last field of its lines is never empty.
        if n and len(headings) == n and all(length == n + 1 for length in used):
            return _Shape(headings, True, n_surplus - 1)
        at, length = next((at, length) for at, length in enumerate(used, start=1) if length != n)
        raise unequal(self.file, self.numbers[at], length, n, delimiter)

    def _lengths(self, delimiter: str, n: int) -> tuple[list[int], list[int]]:
        """Of each line: its fields, and those without the empty ones at its end beyond `n`."""
        counts, used = [], []
        for at in range(1, len(self.lines)):
            count = self.lines[at].count(delimiter) + 1
            if '"' in self.lines[at] or count > n:
                fields = self.fields(at, delimiter)
                counts.append(len(fields))
                used.append(_used(fields, n) if len(fields) > n else len(fields))
            else:
                counts.append(count)
                used.append(count)
        return counts, used


def _used(fields: Sequence[str], n: int) -> int:
    """Number of fields without the empty ones at the end, at least `n`."""
    count = len(fields)
    while count > n and not clean(fields[count - 1]):
        count -= 1
    return count


def _delimiter(body: _Body, ending: str) -> str:
    own = OWN[ending]
    others = [mark for mark in DELIMITERS if mark != own and (mark != " " or ending == ".txt")]
    if body.n_headings(own) > 1:
        if own != "," or body.n_headings(";") == 1:
            return own
        candidates = [",", ";"]  # remarks or decimal commas: the header holds both
    else:
        candidates = others
    fitting = [mark for mark in candidates if body.fits(mark)]
    if len(fitting) > 1:
        names = " and with ".join(f"{DELIMITERS[mark]}s" for mark in fitting)
        raise InputError(
            f"{body.file}, row {body.numbers[0]}: can be read with {names} between the fields; save it with tabs, as .tsv"
        )
    if fitting:
        return fitting[0]
    # None fits: the first that splits the header is the one whose first wrong line is named.
    return next((mark for mark in candidates if mark != " " and body.n_headings(mark) > 1), own)
