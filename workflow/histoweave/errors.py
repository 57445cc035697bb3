"""The one error that a user's input can cause."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable

# A message that quotes more is cut in the middle: its beginning says where, its end says how to mend it.
MAX_CHARACTERS = 1500


class InputError(ValueError):
    """One line for the user: which file, row or key, what is wrong, and how to mend it.

    What a message quotes of a file may be long, and may hold characters that a terminal would obey: they are escaped.
    """

    def __init__(self, message: str):
        words = " ".join(str(message).split())
        line = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in words)
        if len(line) > MAX_CHARACTERS:
            line = f"{line[: MAX_CHARACTERS * 2 // 3]} … {line[-MAX_CHARACTERS // 3 :]}"
        super().__init__(line)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the known word closest to `word`, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""


def short(value: object, *, characters: int = 60) -> str:
    """A value as a message shows it: one line of at most so many characters, whatever its size.

    Of what is nested or long only the beginning is written out, so that this takes no time for a value of any size.
    """
    if isinstance(value, str):
        return _cut(repr(value[: 2 * characters]), characters, more=len(value) > 2 * characters)
    return _cut(_brief.repr(value), characters)


class _Brief(reprlib.Repr):
    """The beginning of a value, without writing all of it out."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 4

    def repr_int(self, value: int, level: int) -> str:
        """A number whose digits nobody would read, and Python may refuse to write, as its size."""
        return repr(value) if value.bit_length() <= 64 else f"a number of {value.bit_length()} bits"


_brief = _Brief()


def _cut(text: str, characters: int, *, more: bool = False) -> str:
    return text if len(text) <= characters and not more else f"{text[: characters - 1].rstrip()}…"
