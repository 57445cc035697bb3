"""What every reader of matrices gives: numbers with names at both sides."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from histoweave.tabular.reading import Reading

MAX_VALUES = 1 << 29  # 4 GiB of float64


@dataclass(frozen=True)
class NamedMatrix:
    """`values` (R, C) float64, NaN where missing, with R `row_names` and C `column_names`, all of them as written.

    `corner` is the heading above the row names, None where there is none; `numbers` the line of each row in a text
    file, None for other forms. `words` are the columns that hold words and no values, by heading.
    `certain`: False where each line has a field more than the header, and neither tabs nor quotation marks tell that it is a
    name.
    """

    values: np.ndarray
    row_names: list[str]
    column_names: list[str]
    corner: str | None
    reading: Reading
    numbers: list[int] | None = None
    words: dict[str, list[str]] = field(default_factory=dict)
    certain: bool = True

    def row_place(self, at: int) -> str:
        """Where the row at position `at` stands, as errors name it."""
        return f"row {self.numbers[at]}" if self.numbers else f"row {at + 1} of the values"
