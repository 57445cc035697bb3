"""Why a slide cannot be used: a status code of `docs/artefacts.md` and one line for a person."""

from __future__ import annotations

OK = "ok"


class Refusal(Exception):
    """A slide that cannot be used.

    Attributes
    ----------
    status: a status code of `docs/artefacts.md`, never `ok`.
    reason: one line for a person.
    """

    def __init__(self, status: str, reason: str):
        self.status = status
        self.reason = " ".join(reason.split())
        super().__init__(f"{status}: {self.reason}")
