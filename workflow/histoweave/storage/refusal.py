"""Why a slide cannot be used: a status code of `docs/artefacts.md` and one line for a person."""

from __future__ import annotations

import math
import re

OK = "ok"
FAILED = "failed"  # an unexpected error
_MOST_CHARACTERS = 500
_IN_MEMORY = re.compile(r"<[^<>]* at 0x[0-9A-Fa-f]+>")


class Refusal(Exception):
    """A slide that cannot be used.

    Attributes
    ----------
    status: a status code of `docs/artefacts.md`, never `ok`.
    reason: one line for a person (`plain_line`).
    pen_share: share of the slide's stained area in the colours of marker ink, NaN where nobody looked for it.
    """

    def __init__(self, status: str, reason: str, *, pen_share: float = math.nan):
        self.pen_share = pen_share
        self.status = status
        self.reason = plain_line(reason)
        super().__init__(f"{status}: {self.reason}")


def plain_line(text: str) -> str:
    """`text` as one line that every file format takes and that is the same in equal runs.

    What cannot be printed becomes `?` (HDF5 takes no NUL), objects named by their place in memory become `<...>`, and
    a text that fills a page, such as a name of 60,000 characters, is cut.
    """
    line = " ".join(_IN_MEMORY.sub("<...>", text).split())
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= _MOST_CHARACTERS else line[: _MOST_CHARACTERS - 1] + "…"


def words_of(error: BaseException) -> str:
    """What an exception says, as one line: the system's words, else its own, with its type where they say little."""
    if isinstance(error, Refusal):
        return error.reason
    if isinstance(error, OSError) and error.strerror:
        return plain_line(error.strerror)
    if isinstance(error, (OSError, SyntaxError, ValueError, EOFError)) and str(error):
        return plain_line(str(error))
    return plain_line(f"{type(error).__name__}: {error}")
