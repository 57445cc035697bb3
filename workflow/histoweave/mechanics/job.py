"""What every job begins with: its log."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from histoweave.mechanics.log import redirect


@contextlib.contextmanager
def job(smk: Any) -> Iterator[None]:
    """The body of a rule's script: everything it says goes to the rule's log.

    Parameters
    ----------
    smk : Snakemake's object of the script.
    """
    with redirect(smk.log[0]):
        yield
