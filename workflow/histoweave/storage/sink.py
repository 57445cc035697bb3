"""A file on a disk that may fill up, for writers that cannot bear a failing write."""

from __future__ import annotations

import io
import os
from typing import Any


class Sink(io.FileIO):
    """A new binary file whose writes never raise: the first failure is kept in `problem`, what could not go is dropped.

    Whoever opens one has to look at `problem`, or to call `check`, before the file counts as whole.
    """

    def __init__(self, path: str | os.PathLike):
        super().__init__(path, "w+")
        self.problem: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data` as far as the disk takes it; the number of bytes of `data` in any case."""
        rest = memoryview(data).cast("B")
        n_bytes = len(rest)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.problem = self.problem or error
        return n_bytes

    def truncate(self, size: int | None = None) -> int:
        """As of any file, but a failure is kept."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.problem = self.problem or error
            return self.tell() if size is None else size

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self.problem is not None:
            raise self.problem
