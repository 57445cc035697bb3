"""New HDF5 files. The HDF5 library crashes the process after a write that failed, so it never gets to see one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import h5py

from histoweave.storage.sink import Sink


class NewHdf5(contextlib.AbstractContextManager):
    """A new HDF5 file as `file`, open while the block runs.

    Raises
    ------
    OSError
        at the end of the block, or by `check` before it, if the disk did not take everything.
    """

    def __init__(self, path: str | os.PathLike):
        self._sink = Sink(path)
        self.file = h5py.File(self._sink, "w")
        self.check: Callable[[], None] = self._sink.check

    def __exit__(self, *_: object) -> None:
        try:
            self.file.close()
        finally:
            self._sink.close()
            self.check()


@contextlib.contextmanager
def new_hdf5(path: str | os.PathLike) -> Iterator[h5py.File]:
    """The file of `NewHdf5` alone, for what is written in one go."""
    with NewHdf5(path) as new:
        yield new.file
