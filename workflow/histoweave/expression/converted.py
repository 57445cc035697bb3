"""Gene symbols that a spreadsheet has turned into dates or numbers: MARCH1 became 1-Mar, 2310009E13 became 2.31E+19.

Ziemann, Eren & El-Osta, Genome Biol 2016;17:177.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Sequence

from histoweave.errors import InputError

_SPELLINGS = {
    1: "jan january januar jän jänner janv janvier gen gennaio ene enero januari janeiro",
    2: "feb february februar févr fév février fevr febbraio febrero fev fevereiro februari",
    3: "mar march mär märz mrz mrt maart mars marzo março",
    4: "apr april avr avril abr abril aprile",
    5: "may mai mag maggio mayo mei maio",
    6: "jun june juni juin giu giugno junio junho",
    7: "jul july juli juil juillet lug luglio julio julho",
    8: "aug august août aout ago agosto augustus",
    9: "sep sept september septembre set settembre septiembre setembro",
    10: "oct october okt oktober octobre ott ottobre octubre out outubro",
    11: "nov november novembre noviembre novembro",
    12: "dec december dez dezember déc décembre dic dicembre diciembre dezembro",
}  # fmt: skip
_MONTH = {word: month for month, words in _SPELLINGS.items() for word in words.split()}

# HGNC symbol and the older name that a spreadsheet takes for a day of the month, by month and day.
_GENES: dict[tuple[int, int], list[tuple[str, str]]] = {
    **{(3, n): [(f"MARCHF{n}", f"MARCH{n}")] for n in range(1, 12)},
    **{(9, n): [(f"SEPTIN{n}", f"SEPT{n}")] for n in (*range(1, 13), 14)},
    (9, 13): [("SEPTIN7P2", "SEPT13")],
    (9, 15): [("SELENOF", "SEP15")],
    (12, 1): [("DELEC1", "DEC1")],
    (12, 2): [("BHLHE41", "DEC2")],
    (10, 1): [("POU2F1", "OCT1")],
    (10, 2): [("POU2F2", "OCT2")],
    (10, 3): [("POU5F1", "OCT3")],
    (10, 4): [("POU5F1", "OCT4")],
    (10, 6): [("POU3F1", "OCT6")],
    (10, 11): [("POU2F3", "OCT11")],
    (4, 1): [("MAGEH1", "APR1")],
    (4, 3): [("ATRAID", "APR3")],
}
_GENES[3, 1].append(("MTARC1", "MARC1"))
_GENES[3, 2].append(("MTARC2", "MARC2"))

_TIME = r"(?:[T ]+\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?)?"
_DAY_MONTH = re.compile(rf"(\d{{1,2}})[-./ ]{{1,2}}([^\W\d_]{{3,10}})\.?(?:[-./, ]+\d{{2,4}})?{_TIME}", re.IGNORECASE)
_MONTH_DAY = re.compile(rf"([^\W\d_]{{3,10}})\.?[-./ ]{{1,2}}(\d{{1,4}})(?:[-./, ]+\d{{2,4}})?{_TIME}", re.IGNORECASE)
_YEAR_FIRST = re.compile(rf"(\d{{4}})([-./])(\d{{1,2}})\2(\d{{1,2}}){_TIME}")
_YEAR_LAST = re.compile(rf"(\d{{1,2}})([-./])(\d{{1,2}})\2(\d{{4}}|\d{{2}}){_TIME}")
_EXPONENT = re.compile(r"(\d)(?:[.,](\d+))?E\+?(\d{2})", re.IGNORECASE)
_SERIAL = re.compile(r"(\d{5})(?:\.0+)?")
_NUMBER = re.compile(r"X?\d+(?:\.0+)?", re.IGNORECASE)

# Days are counted from the end of 1899, in old files of the Macintosh from 1904. Bounds: the years 1995 to 2030.
_EPOCHS = (datetime.date(1899, 12, 30), datetime.date(1904, 1, 1))
_SERIALS = range(34700, 47849)
# Written by hand with a hyphen, these are other names of POU5F1 and of MAGEH1 rather than dates.
_HYPHENATED = {4, 10}

_MEND = (
    "take the table as it was before a spreadsheet saved it, or write the symbol back in a text editor "
    "(in a spreadsheet, format the column as text before the file is opened)"
)


def refuse_converted(names: Sequence[str], *, file: str, place: Callable[[int], str]) -> None:
    """Refuse names that a spreadsheet has converted: the gene that was meant cannot be told from them with certainty.

    Parameters
    ----------
    names : names of genes, as written.
    place : where the name of that index stands, such as `row 17`.

    Raises
    ------
    InputError
        naming the first, where it stands and the genes that it was most likely.
    """
    found = list(_converted(names))
    if found:
        index, says = found[0]
        more = f"; {len(found) - 1} more are like it" if len(found) > 1 else ""
        raise InputError(f"{file}, {place(index)}: gene '{names[index].strip()[:60]}' {says}{more}; {_MEND}")


def _converted(names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Index of each converted name, and what it is."""
    # Where most names are numbers, they are gene numbers (Entrez); one among symbols is a day that lost its format.
    serials = sum(_NUMBER.fullmatch(name.strip()) is not None for name in names) * 2 < len(names)
    for index, name in enumerate(names):
        plain = name[:100].partition("|")[0].strip().strip("'\"")
        # R puts an X before a column name that begins with a digit.
        plain = plain[1:] if plain[:1] in "Xx" and plain[1:2].isdigit() else plain
        dates = _dates(plain)
        if dates:
            yield index, f"is a date: a spreadsheet has converted the symbol{_likely(dates)}"
        elif exponent := _exponent(plain):
            yield index, exponent
        elif serials and (found := _SERIAL.fullmatch(plain)) and int(found[1]) in _SERIALS:
            days = [epoch + datetime.timedelta(int(found[1])) for epoch in _EPOCHS]
            dates = [(day.month, day.day) for day in days if (day.month, day.day) in _GENES][:1]
            if dates:
                yield index, f"is the number of a day: a spreadsheet has converted the symbol{_likely(dates)}"


def _dates(name: str) -> list[tuple[int, int]]:
    """Month and number of each way to read a name as a date; empty if it is none."""
    if not any(c.isdigit() for c in name):
        return []
    if found := _DAY_MONTH.fullmatch(name):
        month = _MONTH.get(found[2].lower())
        return [(month, int(found[1]))] if month and 1 <= int(found[1]) <= 31 else []
    if found := _MONTH_DAY.fullmatch(name):
        month, number = _MONTH.get(found[1].lower()), found[2]
        by_hand = len(number) == 1 and month in _HYPHENATED
        return [(month, int(number) % 100)] if month and not by_hand else []
    if found := _YEAR_FIRST.fullmatch(name):
        year, first, second = int(found[1]), int(found[3]), int(found[4])
        read = [(first, second), (second, first)] if found[2] != "-" else [(first, second)]
        # MARCH4 may have been taken for March 2004, and be written as the first of that month.
        read += [(first, year - 2000)] if second == 1 and 2000 < year <= 2015 else []
    elif found := _YEAR_LAST.fullmatch(name):
        first, second = int(found[1]), int(found[3])
        read = [(second, first), (first, second)]
    else:
        return []
    return [(month, day) for month, day in dict.fromkeys(read) if 1 <= month <= 12 and 1 <= day <= 31]


def _likely(dates: list[tuple[int, int]]) -> str:
    genes = dict.fromkeys(gene for date in dates for gene in _GENES.get(date, []))
    if not genes:
        return " of a gene"
    return " of " + " or ".join(f"{symbol} ({older})" for symbol, older in genes)


def _exponent(name: str) -> str:
    """What a number such as 2.31E+19 was: RIKEN names are seven digits, a letter (often E) and two digits."""
    found = _EXPONENT.fullmatch(name)
    # Without a point or a sign it may be a name as written: 2310009E13 is one.
    if not found or not any(sign in name for sign in ".,+"):
        return ""
    digits, exponent = found[1] + (found[2] or ""), int(found[3]) - 6
    known = digits[:7].ljust(7, "?")
    name = f", likely the RIKEN name {known}E{exponent:02d}Rik" if exponent >= 0 else ""
    return f"is a number: a spreadsheet has converted the symbol{name}"
