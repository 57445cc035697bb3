"""Why a slide cannot be used: a status code of `docs/artefacts.md` and one line for a person."""

from __future__ import annotations

import math

OK = "ok"


class Refusal(Exception):
    """A slide that cannot be used.

    Attributes
    ----------
    status: a status code of `docs/artefacts.md`, never `ok`.
    reason: one line for a person.
    pen_share: share of the slide's stained area in the colours of marker ink, NaN where nobody looked for it.
    """

    def __init__(self, status: str, reason: str, *, pen_share: float = math.nan):
        self.pen_share = pen_share
        self.status = status
        self.reason = " ".join(reason.split())
        super().__init__(f"{status}: {self.reason}")
