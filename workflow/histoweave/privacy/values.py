"""Words in place of values that can tell who or where somebody is, such as the names of sites."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, takewhile

from histoweave.errors import InputError

N_CHARACTERS = 6
# What the workflow itself writes where no value of a patient stands.
OURS = frozenset({"", "all", "unknown", "not given"})
# From this length on, a name of letters and a capital or a digit is no word that a sentence has by chance.
_LEAST_NAME, _ANY_CASE = 4, 6
_WORD = re.compile("[A-Za-z0-9]")
# Letters that a pattern takes for an i where it ignores case, beside what folding makes equal (docs of Python's re).
_SAME = {"\u0130": "i", "\u0131": "i"}
_QUOTES = "'|\"|&#39;|&#34;"


def word(value: str, column: str, *, key: bytes) -> str:
    """`<column>-` and the first 6 characters of base32 (RFC 4648) of HMAC-SHA256 (RFC 2104) of column and value."""
    digest = hmac.digest(key, f"{column}\x1f{value}".encode(), "sha256")
    return f"{column}-{base64.b32encode(digest).decode('ascii')[:N_CHARACTERS]}"


class HiddenValues:
    """The words of a cohort's hidden columns.

    Parameters
    ----------
    key : secret bytes.
    values : column → its values. A column may be hidden although none of its values is known yet.

    Raises
    ------
    InputError
        if two values of a column would get the same word.
    """

    def __init__(self, key: bytes, values: Mapping[str, Iterable[str]]):
        self._key = key
        self._values = {column: sorted(set(given) - OURS) for column, given in values.items()}
        self.columns = frozenset(self._values)
        self._issued: dict[str, str] = {}
        for column, given in self._values.items():
            for value in given:
                made = word(value, column, key=key)
                if self._issued.setdefault(made, value) != value:
                    raise InputError(
                        f"'{self._issued[made]}' and '{value}' of column '{column}' get the same word {made}; "
                        "use another key"
                    )
        # A name that two columns have gets the word of the one that comes last.
        self._named = {_folded(value): (value, column) for column in self._values for value in self._values[column]}
        self._quoted, self._bare, self._names = self._patterns()

    @property
    def mapping(self) -> dict[str, str]:
        """`<column>:<value>` → its word."""
        return {
            f"{column}:{value}": self.word(value, column) for column in self._values for value in self._values[column]
        }

    def word(self, value: str, column: str) -> str:
        """What stands for a value of a hidden column, known or not; words that were given already stay."""
        if value in OURS or value in self._issued:
            return value
        made = word(value, column, key=self._key)
        self._issued.setdefault(made, value)
        return made

    def scope(self, text: str) -> str:
        """`<column>:<value>` with the value hidden, if its column is; any other scope as it is."""
        column, found, value = text.partition(":")
        return f"{column}:{self.word(value, column)}" if found and column in self.columns else text

    def text(self, text: str) -> str:
        """A free text in which values are hidden that a reader would take for such.

        That is what stands in quotes after the name of its column, a known value after it, and, wherever it stands
        alone, a known name: four characters or more, with a letter and a capital or a digit.
        """
        if not self.columns:
            return text
        text = self._quoted.sub(lambda found: self._replaced(found, "quoted"), text)
        if self._bare is not None:
            text = self._bare.sub(lambda found: self._replaced(found, "bare"), text)
        return text if self._names is None else self._names.sub(self._name, text)

    def leaks(self, text: str) -> list[str]:
        """Values that still stand in a finished artefact where they are values for sure, sorted: in quotes after their
        column, and sites in scopes (`site:<value>`; elsewhere a colon may as well be one of a style sheet).

        The text is read once for each column: where a value may begin, those of each length are looked up.
        """
        found = set()
        for column, given in self._values.items():
            before = rf"(?::|\s(?:{_QUOTES}))" if column == "site" else rf"\s(?:{_QUOTES})"
            values, lengths = set(given), {len(value) for value in given}
            for place in _ends(rf"\b{re.escape(column)}{before}", column, text):
                found |= {value for length in lengths if (value := _alone(text, place, length)) in values}
        return sorted(found)

    def _patterns(self) -> tuple[re.Pattern[str], re.Pattern[str] | None, re.Pattern[str] | None]:
        """In quotes after a column, bare after a column, alone."""
        titles = _any_of({_folded(form) for column in self.columns for form in (column, column.replace("_", " "))})
        start = rf"(?<![A-Za-z0-9])(?P<column>{titles})s?"
        quoted = rf"{start}[\s:]+(?P<quote>{_QUOTES})(?P<quoted>.*?)(?P=quote)"
        known = {value for given in self._values.values() for value in given}
        names = {value for value in known if _is_name(value)}
        folded = {_folded(value) for value in names if len(value) >= _ANY_CASE}
        alone = "|".join(part for part in (_any_of(names), f"(?i:{_any_of(folded)})" if folded else "") if part)
        end = "(?![A-Za-z0-9])"
        return (
            re.compile(quoted, re.IGNORECASE),
            re.compile(rf"{start}[\s:=]+(?P<bare>(?-i:{_any_of(known)})){end}", re.IGNORECASE) if known else None,
            re.compile(rf"(?<![A-Za-z0-9])({alone}){end}") if names else None,
        )

    def _replaced(self, found: re.Match[str], group: str) -> str:
        title = _folded(found["column"])
        column = next(each for each in sorted(self.columns) if title in map(_folded, (each, each.replace("_", " "))))
        start, end = (place - found.start() for place in found.span(group))
        return found[0][:start] + self.word(found[group], column) + found[0][end:]

    def _name(self, found: re.Match[str]) -> str:
        return self.word(*self._named[_folded(found[0])])


def _ends(pattern: str, begins: str, text: str) -> Iterator[int]:
    """Where each match of a pattern that begins with these characters ends, also of matches that overlap."""
    compiled, place = re.compile(pattern), text.find(begins)
    while place >= 0:
        if found := compiled.match(text, place):
            yield found.end()
        place = text.find(begins, place + 1)


def _alone(text: str, place: int, length: int) -> str:
    """The `length` characters from `place` on; empty where a letter or a digit of ASCII follows them."""
    end = place + length
    return "" if _WORD.match(text, end) else text[place:end]


def _any_of(texts: Iterable[str]) -> str:
    """A pattern of any of these texts, the longest first. Texts that begin alike share their beginning, so that a search does
    not take longer for more of them."""
    given = sorted(set(texts)) or [""]
    start = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(given[0], given[-1], strict=False)))
    rests = [text[len(start) :] for text in given]
    further = "|".join(_any_of(alike) for _, alike in groupby(filter(None, rests), key=lambda rest: rest[0]))
    return re.escape(start) + (f"(?:{further}){'?' if '' in rests else ''}" if further else "")


def _folded(text: str) -> str:
    """A text in the letters that patterns take for equal where they ignore case; as long as `text`."""
    return "".join(_SAME.get(each) or (low if len(low := each.casefold()) == 1 else each) for each in text)


def _is_name(value: str) -> bool:
    letters = any(character.isalpha() for character in value)
    special = any(character.isupper() or character.isdigit() for character in value)
    return len(value) >= _LEAST_NAME and letters and special
