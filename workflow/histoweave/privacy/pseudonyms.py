"""Keyed pseudonyms of ids, and their replacement wherever an id stands in a text."""

from __future__ import annotations

import base64
import hmac
import re
import string
from collections.abc import Iterable, Mapping

from histoweave.errors import InputError
from histoweave.privacy.values import HiddenValues

PREFIXES = {"patient": "P-", "slide": "S-", "cell": "C-", "sample": "R-"}
N_CHARACTERS = 10
# From this length on, an id is found inside a longer word too, such as a barcode inside a file's name.
_LONG = 6
# Ids are met in lower case, and with the dots that R writes; a text keeps its length.
_NORMAL = str.maketrans(string.ascii_uppercase + "._", string.ascii_lowercase + "--")
# Hashes, and pictures as base64: no prose, and what looks like an id in them is chance.
_NO_PROSE = re.compile(r"[0-9a-f]{16}|[0-9a-f]{40}|[0-9a-f]{64}|[A-Za-z0-9+/=]{200,}")
_ENCODED = re.compile(r"[A-Za-z0-9+/=]{200,}")
# What makes a short number an id in prose.
_ANNOUNCED = re.compile(r"(patient|slide|cell|image|sample|case)s?[ :#'\"/]*$")
_WORDS = re.compile(r"[a-z0-9][a-z0-9-]*")


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
    also : other names (paths, names of files) → the id that they stand for.
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
        also: Mapping[str, str] | None = None,
        values: HiddenValues | None = None,
    ):
        self._key = key
        self.values = HiddenValues(key, {}) if values is None else values
        self.keeps_ids = False
        self._of_kind = {kind: frozenset(identifiers) for kind, identifiers in ids.items()}
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
        for name, identifier in (also or {}).items():
            self._exact.setdefault(name, self._exact[identifier])
        self._issued = frozenset(owner)
        self._normal: dict[str, str] = {}
        for name, given in self._exact.items():
            self._normal.setdefault(name.translate(_NORMAL), given)
        self._lengths = sorted({len(name) for name in self._exact if name}, reverse=True)

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

    def _without_ids(self, text: str) -> str:
        if not self._lengths:
            return text
        normal, parts, place = text.translate(_NORMAL), [], 0
        while place < len(text):
            length, replacement = self._at(text, normal, place)
            parts.append(replacement)
            place += length
        return "".join(parts)

    def _at(self, text: str, normal: str, place: int) -> tuple[int, str]:
        """How many characters to go on, and what stands for them."""
        issued = text[place : place + 2 + N_CHARACTERS]
        if issued in self._issued:
            return len(issued), issued
        for length in self._lengths:
            end = place + length
            found = self._exact.get(text[place:end]) or self._normal.get(normal[place:end])
            if found and _counts(normal, place, end):
                return length, found
        return 1, text[place]

    def leaks(self, text: str) -> list[str]:
        """Known ids and hidden values that still stand in a finished artefact, sorted.

        Only ids that no text has by chance are looked for: of at least 6 characters with a digit, standing alone. Of
        values see `HiddenValues.leaks`.
        """
        text = _ENCODED.sub(" ", text)
        sought = {name.translate(_NORMAL): name for name in self._ids if len(name) >= _LONG and re.search(r"\d", name)}
        lengths = sorted({len(name) for name in sought})
        found = set()
        for word in set(_WORDS.findall(text.translate(_NORMAL))):
            for length in lengths:
                for place in range(len(word) - length + 1):
                    name = sought.get(word[place : place + length])
                    if name and _alone(word, place, place + length):
                        found.add(name)
        return sorted(found | set(self.values.leaks(text)))


def _alone(text: str, place: int, end: int) -> bool:
    return not (text[place - 1 : place].isalnum() or text[end : end + 1].isalnum())


def _is_short_number(text: str) -> bool:
    return len(text) < _LONG and text.isdigit()


def _counts(text: str, place: int, end: int) -> bool:
    """Whether an id at text[place:end] is meant."""
    found = text[place:end]
    if _is_short_number(found):
        return _alone(text, place, end) and _ANNOUNCED.search(text[max(0, place - 20) : place]) is not None
    if len(found) < _LONG or not any(character.isdigit() for character in found):
        return _alone(text, place, end)
    if found.isdigit():
        return not (text[place - 1 : place].isdigit() or text[end : end + 1].isdigit())
    return True
