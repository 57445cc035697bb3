"""A process beside this one that reads files first, because the library that reads them may crash or never end."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from histoweave.storage import trial
from histoweave.storage.refusal import Refusal

logger = logging.getLogger(__name__)

START_S = 120.0
PATIENCE_S, BYTES_PER_S = 60.0, 1e6  # for a file of any size, and more for large ones on slow disks


class Reader:
    """The other process; it ends with this one."""

    def __init__(self) -> None:
        """OSError if it cannot be started, or does not answer."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {trial.__name__} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self._process.stdin is not None and self._process.stdout is not None  # pipes, as asked
        self._to, self._from = self._process.stdin, self._process.stdout
        try:
            self._line(START_S)
        except OSError:
            self.end()
            raise

    def read(self, path: Path, *, patience_s: float) -> dict[str, str]:
        """How reading a file went: nothing, or `status` and `reason` of what is wrong with it.

        Raises
        ------
        TimeoutError, ChildProcessError
            if there is no answer in time, or the process has ended.
        """
        with contextlib.suppress(BrokenPipeError):
            self._to.write(json.dumps(str(path)).encode() + b"\n")
            self._to.flush()
        return json.loads(self._line(patience_s))

    def _line(self, patience_s: float) -> str:
        end, data = time.monotonic() + patience_s, b""
        while not data.endswith(b"\n"):
            ready, _, _ = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError("it does not answer")
            part = os.read(self._from.fileno(), 1 << 16)
            if not part:
                raise ChildProcessError("it has ended")
            data += part
        return data.decode().strip()

    def end(self) -> None:
        """Stop the process, whatever it does."""
        self._process.kill()
        for pipe in (self._to, self._from):
            with contextlib.suppress(OSError):
                pipe.close()
        self._process.wait()


_idle: list[Reader] = []


@atexit.register
def _end_all() -> None:
    while _idle:
        _idle.pop().end()


def _reader() -> Reader:
    with contextlib.suppress(IndexError):
        return _idle.pop()
    return Reader()


def try_reading(path: Path) -> None:
    """Read a file in another process.

    Raises
    ------
    Refusal
        what the other process refuses, or `unreadable` if it crashed or did not come to an end.
    """
    try:
        reader = _reader()
    except OSError as error:
        logger.warning("%s is read without a trial read: no process is available (%s)", path.name, error)
        return
    patience_s = PATIENCE_S + path.stat().st_size / BYTES_PER_S
    try:
        found = reader.read(path.absolute(), patience_s=patience_s)
    except (TimeoutError, ChildProcessError) as error:
        reader.end()
        slow = isinstance(error, TimeoutError)
        what = f"has no end after {patience_s:.0f} s" if slow else "crashes the HDF5 library"
        raise Refusal("unreadable", f"{path.name} is damaged: reading it {what}; copy it again") from None
    _idle.append(reader)
    if found:
        raise Refusal(found["status"], found["reason"])
