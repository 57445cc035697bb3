"""Where a name stands in a text: how texts are compared, and what of them is a number or a drawing and no name."""

from __future__ import annotations

import html
import re
import string
import unicodedata
from collections.abc import Iterable, Iterator

# Ids are met in lower case, and with the dots that R writes; a text keeps its length.
_NORMAL = str.maketrans(string.ascii_uppercase + "._", string.ascii_lowercase + "--")
_WORD = re.compile(r"[^\W_]+")
_JSON_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_NUMERIC = re.compile(r"[\d-]+")
# A number with a decimal point, an exponent and a unit; no part of a path, a version or a file's name.
_DECIMAL = re.compile(r"(?<![\w./\\])\d*\.\d+(?:e[-+]?\d+)?(?:[^\W\d_]{1,3}|%)?(?![._/\\-]?\w)", re.IGNORECASE)
_LONGEST_DECIMAL = 40
# What draws and is not read: style sheets, and attributes that hold lengths, places and colours.
_DRAWING = re.compile(
    r"<style\b[^>]*>.*?</style>|"
    r"(?<=\s)(?:d|points|transform|viewBox|style|fill|stroke|stop-color|offset|width|height|r[xy]?|[cdf]?[xy][12]?)"
    r'="[^"<>]*"',
    re.DOTALL,
)


def normal(text: str) -> str:
    """Lower case, with dashes for dots and underscores; as long as `text`."""
    text = text.translate(_NORMAL)
    if text.isascii():
        return text
    return "".join(lower if len(lower := each.lower()) == 1 else each for each in text)


def plain(text: str) -> str:
    """What a text of HTML or JSON says, so that names are found however they are written; drawings left out."""
    said = _JSON_ESCAPE.sub(lambda found: chr(int(found[1], 16)), _DRAWING.sub(" ", text))
    return unicodedata.normalize("NFC", html.unescape(said))


def without_drawings(text: str) -> Iterator[tuple[str, bool]]:
    """The parts of a text in their order, and whether each is to be read."""
    place = 0
    for found in _DRAWING.finditer(text) if "<" in text else ():
        yield text[place : found.start()], True
        yield found[0], False
        place = found.end()
    yield text[place:], True


def is_numeric(name: str) -> bool:
    """Whether a name (of `normal`) is made of digits, and of dashes between them."""
    return _NUMERIC.fullmatch(name) is not None


def in_decimal(text: str, place: int, end: int) -> bool:
    """Whether text[place:end] is a part of a number such as 153.698979: no text has an id there."""
    near = _DECIMAL.finditer(text, max(0, place - _LONGEST_DECIMAL), end + _LONGEST_DECIMAL)
    return any(found.start() <= place and end <= found.end() for found in near)


def alone(text: str, place: int, end: int) -> bool:
    """Whether neither a letter nor a digit touches text[place:end]."""
    return not (text[place - 1 : place].isalnum() or text[end : end + 1].isalnum())


def standing_in(text: str, names: Iterable[str]) -> set[str]:
    """Those of some names that stand alone in a text (see `plain`); looked up by their first word and their length."""
    sought: dict[str, dict[int, dict[str, str]]] = {}
    for name in names:
        form = normal(unicodedata.normalize("NFC", name))
        first = _WORD.search(form)
        if first is not None:
            rest = form[first.start() :]
            sought.setdefault(first[0], {}).setdefault(len(rest), {})[rest] = name
    compared, found = normal(text), set()
    for word in _WORD.finditer(compared):
        for length, of_length in sought.get(word[0], {}).items():
            place, end = word.start(), word.start() + length
            here = of_length.get(compared[place:end])
            if here and not text[end : end + 1].isalnum() and not _is_number(here, text, place, end):
                found.add(here)
    return found


def _is_number(name: str, text: str, place: int, end: int) -> bool:
    written_so = "." in name and text[place:end] == name
    return is_numeric(normal(name)) and not written_so and in_decimal(text, place, end)
