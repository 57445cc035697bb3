"""Tables of several folds as one."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pandas as pd

from histoweave.storage.files import read_table


def read_folds(paths: Sequence[str | os.PathLike]) -> pd.DataFrame:
    """The tables of all folds, one after the other; a column that a fold lacks is NaN there."""
    return pd.concat([read_table(path) for path in paths], ignore_index=True)
