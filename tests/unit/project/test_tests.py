"""Unit tests lie where the modules lie that they test, and what tests share lies in helpers."""

import re

from running import ROOT

TESTS, LIBRARY = ROOT / "tests", ROOT / "workflow/histoweave"
# What is about no folder of the library: the project's own files, damaged files for all readers, benchmarks.
OTHERS = {"project", "fuzz", "benchmarks"}


def folders(root, pattern):
    return {path.parent.relative_to(root).as_posix() for path in root.rglob(pattern)}


def test_unit_tests_lie_in_the_folders_of_the_library():
    wings = folders(LIBRARY, "*.py") - {"."}
    assert not wings & OTHERS
    assert folders(TESTS / "unit", "test_*.py") <= wings | OTHERS


def test_no_test_imports_another():
    """Nor does the code that a test runs in a process of its own."""
    importing = re.compile(r"^\s*(?:from|import)\b.*\btest_", re.MULTILINE)
    assert [path for path in sorted(TESTS.rglob("*.py")) if importing.search(path.read_text(encoding="utf-8"))] == []


def test_helpers_hold_no_tests():
    """A module that is neither a test nor a conftest.py is found in tests/helpers alone: pytest puts it on the path."""
    assert not list((TESTS / "helpers").rglob("test_*.py"))
    others = [path for path in TESTS.rglob("*.py") if not path.match("test_*.py") and path.name != "conftest.py"]
    assert {path.parent for path in others} == {TESTS / "helpers"}
