"""Code in a process of its own, where nothing has been imported or allocated yet."""

from __future__ import annotations

import subprocess
import sys


def printed(code: str) -> str:
    """What `code` prints, with the tests' modules at hand; the test fails if it ends with an error."""
    path = [part for part in sys.path if part]
    run = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.path[:0] = {path!r}\n{code}"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()
