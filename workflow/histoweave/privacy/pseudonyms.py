"""Keyed pseudonyms of ids, and their replacement wherever an id stands in a text."""

from __future__ import annotations

import base64
import hmac
import html
import itertools
import re
import unicodedata
from collections.abc import Iterable, Mapping

from histoweave.errors import InputError
from histoweave.privacy.files import FileNames
from histoweave.privacy.reasons import without_files, without_names
from histoweave.privacy.standing import alone, in_decimal, is_numeric, normal, plain, standing_in, without_drawings
from histoweave.privacy.values import HiddenValues

PREFIXES = {"patient": "P-", "slide": "S-", "cell": "C-", "sample": "R-", "file": "F-"}
N_CHARACTERS = 10
# From this length on, an id is found inside a longer word too, such as a barcode inside a file's name.
_LONG = 6
# Names are looked up by so many characters first: a cohort of cells has as many names as cells.
_START = 3
# Hashes, and pictures as base64: no prose, and what looks like an id in them is chance.
_NO_PROSE = re.compile(r"[0-9a-f]{16}|[0-9a-f]{40}|[0-9a-f]{64}|[A-Za-z0-9+/=]{200,}")
_ENCODED = re.compile(r"[A-Za-z0-9+/=]{200,}")
# What makes a short number an id in prose.
_ANNOUNCED = re.compile(r"(patient|slide|cell|image|sample|case)s?[ :#'\"/]*$")
_PSEUDONYM = re.compile(rf"(?:{'|'.join(PREFIXES.values())})[A-Z2-7]{{{N_CHARACTERS}}}")


def pseudonym(identifier: str, kind: str, *, key: bytes) -> str:
    """The first 10 characters of base32 (RFC 4648) of HMAC-SHA256 (RFC 2104) of an id, after the prefix of its kind."""
    digest = hmac.digest(key, identifier.encode(), "sha256")
    return PREFIXES[kind] + base64.b32encode(digest).decode("ascii")[:N_CHARACTERS]


class Pseudonyms:
    """The pseudonyms of a cohort.

    Parameters
    ----------
    key : secret bytes.
    ids : kind (of `PREFIXES`) → ids. An id of two kinds has the first one's prefix in free text.
    files : names of the user's files, which stand for what they are of.
    values : the columns whose values are hidden as well; None: none.

    Raises
    ------
    InputError
        if two ids of a kind would get the same pseudonym.
    """

    def __init__(
        self,
        key: bytes,
        ids: Mapping[str, Iterable[str]],
        *,
        files: FileNames | None = None,
        values: HiddenValues | None = None,
    ):
        self._key = key
        self.values = HiddenValues(key, {}) if values is None else values
        self.keeps_ids = False
        files = FileNames() if files is None else files
        self._of_kind = {kind: frozenset(identifiers) for kind, identifiers in ids.items()}
        known = frozenset().union(*self._of_kind.values())
        # A file of something that no table of results knows is called as a file.
        of_nobody = {name: name for name, owner in files.own.items() if owner not in known}
        shared = files.shared | of_nobody
        self._of_kind["file"] = frozenset(shared.values()) - known
        self._exact: dict[str, str] = {}
        owner: dict[str, str] = {}
        for kind, identifiers in self._of_kind.items():
            for identifier in sorted(identifiers):
                given = pseudonym(identifier, kind, key=key)
                if owner.setdefault(given, identifier) != identifier:
                    raise InputError(
                        f"'{owner[given]}' and '{identifier}' get the same pseudonym {given}; use another key"
                    )
                self._exact.setdefault(identifier, given)
        self._ids = frozenset(self._exact)
        for name, of in {**files.own, **shared}.items():
            self._exact.setdefault(name, self._exact[of_nobody.get(name, of)])
        self._issued = frozenset(owner)
        self._exact = {form: given for name, given in self._exact.items() for form in _forms(name)}
        self._normal: dict[str, str] = {}
        for name, given in self._exact.items():
            self._normal.setdefault(normal(name), given)
        self._lengths = _lengths_by_start(self._normal)
        self._files = frozenset(files.own) | frozenset(shared)
        self._in_reasons = {
            unicodedata.normalize("NFC", name): self._exact.get(of) or self.name(of, "file")
            for name, of in files.in_reasons.items()
        }

    @property
    def mapping(self) -> dict[str, str]:
        """Id → pseudonym, sorted. Whoever has it can undo everything: it is written only where somebody asks."""
        return {identifier: self._exact[identifier] for identifier in sorted(self._ids)}

    def for_values(self) -> Pseudonyms:
        """The same hidden values and ids as they are: for tables in which things are still looked up by their ids."""
        shown = Pseudonyms(self._key, {}, values=self.values)
        shown.keeps_ids = True
        return shown

    def name(self, identifier: str, kind: str) -> str:
        """The pseudonym of what is an id for sure, known or not; pseudonyms and empty texts stay."""
        if not identifier or self.keeps_ids or identifier in self._issued:
            return identifier
        return pseudonym(identifier, kind, key=self._key)

    def kind(self, identifier: str, *kinds: str) -> str | None:
        """The first of `kinds` (default: of all) that has this id; None for what is no known id."""
        return next((kind for kind in kinds or self._of_kind if identifier in self._of_kind.get(kind, ())), None)

    def text(self, text: str) -> str:
        """A free text with every known id in it replaced, the longest first, and then the hidden values.

        Short ids, and those that are one word of letters, count only where they stand alone; short numbers only after a
        word such as patient or slide: patient 7 is no reason to rewrite 7 tiles.
        """
        if text in self._exact and not _is_short_number(text):
            return self._exact[text]
        if _NO_PROSE.fullmatch(text):
            return text
        return self.values.text(self._without_ids(text))

    def reason(self, text: str) -> str:
        """Why something cannot be used: a free text (see `text`) in which no file is named, known or not."""
        shown = self.text(text)
        if self.keeps_ids:
            return shown
        return without_files(without_names(unicodedata.normalize("NFC", shown), self._in_reasons), _PSEUDONYM)

    def _without_ids(self, text: str) -> str:
        if not self._lengths:
            return text
        parts = without_drawings(unicodedata.normalize("NFC", text))
        return "".join(self._read(part) if is_read else part for part, is_read in parts)

    def _read(self, text: str) -> str:
        compared, parts, place = normal(text), [], 0
        while place < len(text):
            length, replacement = self._at(text, compared, place)
            parts.append(replacement)
            place += length
        return "".join(parts)

    def _at(self, text: str, compared: str, place: int) -> tuple[int, str]:
        """How many characters to go on, and what stands for them."""
        issued = text[place : place + 2 + N_CHARACTERS]
        if issued in self._issued:
            return len(issued), issued
        for length in self._lengths_at(compared, place):
            end = place + length
            exact = self._exact.get(text[place:end])
            found = exact or self._normal.get(compared[place:end])
            if found and _counts(text, compared, place, end, as_written=exact is not None):
                return length, found
        return 1, text[place]

    def _lengths_at(self, compared: str, place: int) -> Iterable[int]:
        """Lengths that a name which begins here may have, the longest first."""
        starts = (compared[place : place + n] for n in range(_START, 0, -1))
        return itertools.chain.from_iterable(self._lengths.get(start, ()) for start in dict.fromkeys(starts))

    def leaks(self, text: str) -> list[str]:
        """Known ids, names of files and hidden values that still stand in a finished artefact, sorted.

        Only what no text has by chance is looked for: ids of at least 6 characters with a digit, names of files of as
        many, standing alone; no parts of numbers with a decimal point, or of what is drawn. Of values see
        `HiddenValues.leaks`.
        """
        text = _ENCODED.sub(" ", text)
        ids = {name for name in self._ids if len(name) >= _LONG and re.search(r"\d", name)}
        found = standing_in(plain(text), ids | {name for name in self._files if len(name) >= _LONG})
        return sorted(found | set(self.values.leaks(text)))


def _lengths_by_start(names: Iterable[str]) -> dict[str, list[int]]:
    """First characters of names (as many as there are, at most `_START`) → the lengths of such names, falling."""
    found: dict[str, set[int]] = {}
    for name in filter(None, names):
        found.setdefault(name[:_START], set()).add(len(name))
    return {start: sorted(lengths, reverse=True) for start, lengths in found.items()}


def _forms(name: str) -> set[str]:
    """A name as a text may hold it: composed, as file systems may decompose it, and as HTML writes it."""
    name = unicodedata.normalize("NFC", name)
    return {name, html.escape(name).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")}


def _is_short_number(text: str) -> bool:
    return len(text) < _LONG and text.isdigit()


def _counts(text: str, compared: str, place: int, end: int, *, as_written: bool) -> bool:
    """Whether an id at text[place:end] is meant.

    compared : the text as `normal` makes it. as_written : the id is written with these very dots and dashes.
    """
    found = compared[place:end]
    if is_numeric(found):
        if not (as_written and "." in text[place:end]) and in_decimal(text, place, end):
            return False
        if _is_short_number(found):
            return alone(text, place, end) and _ANNOUNCED.search(compared[max(0, place - 20) : place]) is not None
        if len(found) >= _LONG:
            return not (text[place - 1 : place].isdigit() or text[end : end + 1].isdigit())
    if len(found) < _LONG or not any(character.isdigit() for character in found):
        return alone(text, place, end)
    return True
