"""One log file per job, holding everything the job said: Python's output, logging, tracebacks and C libraries."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import os
import sys
import traceback
from collections.abc import Iterator

from histoweave.errors import InputError
from histoweave.storage.sink import Sink


@contextlib.contextmanager
def redirect(path: str) -> Iterator[None]:
    """Send file descriptors 1 and 2 of this process to `path` while the block runs.

    An exception is written to the log with its traceback and raised again; an `InputError` is logged as its one
    line, also on the terminal, and ends the process with exit code 1. So does a log that cannot be made. A log that
    the disk does not take as a whole is no failure of the job: the terminal gets a line about it.
    """
    # A job begins here. What it imports are a million objects that stay; to look for garbage among them, as often as Python
    # does by default, takes a tenth of its start.
    gc.set_threshold(50_000, 20, 100)
    sink = _new_log(path)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with (
        io.TextIOWrapper(sink, encoding="utf-8", write_through=True) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", force=True)
        failure: InputError | None = None
        try:
            yield
        except InputError as error:
            print(f"error: {error}")
            failure = error
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            log.flush()
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            os.close(saved[0])
            os.close(saved[1])
            if sink.problem is not None:
                print(f"log {path} is incomplete: {sink.problem.strerror}", file=sys.__stderr__)
    if failure is not None:
        sys.exit(f"error: {failure} (log: {path})")


def _new_log(path: str) -> Sink:
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        return Sink(path)
    except OSError as error:
        sys.exit(f"error: {path} cannot be written: {error.strerror}; fix this and run again")
