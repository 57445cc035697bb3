"""Which folder of the library may import which: a table, without a circle."""

import ast

import pytest
from running import ROOT

LIBRARY = ROOT / "workflow/histoweave"
# From the ground up; each may import what stands behind it and nothing else. `errors` and `ids` are for all.
FLOORS = {
    "settings": "",
    "storage": "settings",
    "tabular": "storage",
    "mechanics": "storage",
    "encoders": "settings storage",
    "slides": "settings storage",
    "interop": "settings storage slides",
    "tiles": "settings storage slides interop",
    "features": "settings storage mechanics slides interop encoders",
    "expression": "settings storage tabular mechanics",
    "cohort": "settings storage tabular expression",
    "cells": "settings storage tabular mechanics encoders cohort",
    "sae": "settings storage mechanics",
    "fusion": "settings storage tabular mechanics expression",
    "evaluation": "settings fusion",
    "simulate": "settings storage expression evaluation",
    "decide": "settings fusion evaluation",
    "concepts": "settings storage tabular mechanics sae evaluation",
    "explain": "settings storage mechanics slides simulate fusion sae evaluation",
    "apply": "settings storage encoders expression fusion sae evaluation decide concepts",
    "privacy": "settings storage cohort cells",
    "pages/kit": "storage fusion evaluation",
    "pages/report": "storage slides expression fusion evaluation decide privacy pages/kit",
    "pages/applied": "storage fusion evaluation decide apply privacy pages/kit pages/report",
    "pages/concepts": "settings storage tabular cells sae evaluation concepts privacy pages/kit pages/report",
    "pages": "storage privacy",
    "wiring": "settings storage encoders expression cohort cells simulate fusion apply privacy pages/report",
}
ROOT_MODULES = {"__init__", "errors", "ids"}


def folder_of(parts):
    """The row of the table that a module belongs to; its own name for what lies in the package's root."""
    if parts[0] == "pages" and len(parts) > 1 and (LIBRARY / "pages" / parts[1]).is_dir():
        return "/".join(parts[:2])
    return parts[0]


def imported(path):
    """Folders of this package that a module imports, also for type checkers only."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names]
        for parts in (name.split(".") for name in names):
            if parts[0] == "histoweave":
                yield folder_of(parts[1:])


MODULES = sorted(LIBRARY.rglob("*.py"))


def test_the_root_holds_what_is_for_all():
    assert {path.stem for path in LIBRARY.glob("*.py")} == ROOT_MODULES
    folders = {folder_of(path.relative_to(LIBRARY).parts) for path in MODULES if path.parent != LIBRARY}
    assert folders == set(FLOORS)


@pytest.mark.parametrize("folder", FLOORS)
def test_a_folder_imports_only_what_lies_below(folder):
    own = [path for path in MODULES if folder_of(path.relative_to(LIBRARY).parts) == folder]
    used = {name for path in own for name in imported(path)} - {folder, "errors", "ids", "__version__"}
    assert used == set(FLOORS[folder].split())


def test_the_floors_have_no_circle():
    below = set()
    for folder, allowed in FLOORS.items():
        assert set(allowed.split()) <= below, f"{folder} may import what stands above it"
        below.add(folder)
    assert next(iter(FLOORS)) == "settings" and len(below) == len(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_a_module_is_short(path):
    """300 lines, and 60 for a function: what is longer is two things."""
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            assert node.end_lineno - first.lineno < 60, f"{node.name} is too long"
