"""The rules of the workflow, as they are written."""

import re

from running import ROOT

RULES = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))


def rules():
    """Rule name → its text."""
    parts = re.split(r"^rule (\w+):$", RULES, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
