"""What a run was made with."""

from __future__ import annotations

import importlib.metadata
import platform
import re


def package_versions() -> dict[str, str]:
    """Versions of Python, histoweave and the packages it depends on (extras left out), as installed."""
    versions = {"python": platform.python_version(), "histoweave": importlib.metadata.version("histoweave")}
    for requirement in importlib.metadata.requires("histoweave") or ():
        if "extra ==" not in requirement:
            name = re.match(r"[A-Za-z0-9._-]+", requirement)
            assert name is not None
            versions[name.group()] = importlib.metadata.version(name.group())
    return versions
