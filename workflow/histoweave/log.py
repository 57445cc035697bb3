"""One log file per job, holding everything the job said: Python's output, logging, tracebacks and C libraries."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Iterator

from histoweave.errors import InputError


@contextlib.contextmanager
def redirect(path: str) -> Iterator[None]:
    """Send file descriptors 1 and 2 of this process to `path` while the block runs.

    An exception is written to the log with its traceback and raised again; an `InputError` is logged as its one
    line, also on the terminal, and ends the process with exit code 1.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with (
        open(path, "w", encoding="utf-8", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
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
    if failure is not None:
        sys.exit(f"error: {failure} (log: {path})")
