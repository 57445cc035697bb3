"""What was read of a file, to be said in logs and on pages."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Reading:
    """How a file was read. `notes` says what was skipped or dropped; rows and columns without header and names."""

    file: str
    form: str  # text, parquet, h5ad, STAR-Counts files
    rows: int
    columns: int
    delimiter: str = ""
    encoding: str = ""
    orientation: str = ""
    first_id: str = ""
    last_id: str = ""
    notes: str = ""
    table: str = ""  # what it is for: patients, slides, cells, expression

    def to_dict(self) -> dict:
        """As plain values."""
        return asdict(self)

    def sentence(self) -> str:
        """In one line."""
        what = f"{self.table}: " if self.table else ""
        how = ", ".join(part for part in (self.form, self.encoding, self.delimiter and f"{self.delimiter}s") if part)
        turned = f", {self.orientation.replace('_', ' ')}" if self.orientation else ""
        ids = f"; first id {self.first_id}, last id {self.last_id}" if self.first_id else ""
        notes = f"; {self.notes}" if self.notes else ""
        return f"{what}{self.file}: {self.rows} rows, {self.columns} columns ({how}{turned}){ids}{notes}"


def counted(n: int, word: str) -> str:
    """`1 line`, `3 lines`."""
    return f"{n} {word}{'' if n == 1 else 's'}"
