"""Fingerprints of code: what decides a result counts, where it lies and how it is explained do not."""

import re
import shutil
import textwrap

import pytest
from running import ROOT

from histoweave.wiring import fingerprint
from histoweave.wiring.fingerprint import Library

USER = """
from histoweave.numbers import one
from histoweave.words import greet

def f(x):
    return greet(one(x))
"""
FILES = {
    "__init__.py": "",
    "numbers.py": "def one(x):\n    return x + 1\n",
    "others.py": "def one(x):\n    return x + 2\n",
    "words.py": "def greet(x):\n    return f'hello {x}'\n",
    "a.py": USER,
}


@pytest.fixture
def hashed(tmp_path):
    """The fingerprint of a module of a small library, some of whose files are others (None: gone)."""
    count = iter(range(1000))

    def hashed(files=None, module="histoweave.a"):
        folder = tmp_path / str(next(count))
        for name, text in (FILES | (files or {})).items():
            if text is not None:
                path = folder / "histoweave" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(textwrap.dedent(text))
        return Library(folder).code_hash(module)

    return hashed


SAME = {
    "comments and formatting": {"a.py": USER.replace("greet(one(x))", "greet(one(x),)  # words")},
    "a docstring": {"numbers.py": 'def one(x):\n    """One more."""\n    return x + 1\n'},
    "the order of imports": {
        "a.py": "from histoweave.words import greet\nfrom histoweave.numbers import one\n\ndef f(x):\n    return greet(one(x))\n"
    },
    "an import inside of the function": {
        "a.py": "from histoweave.words import greet\n\ndef f(x):\n    from histoweave.numbers import one\n    return greet(one(x))\n"
    },
    "a module that moved": {
        "numbers.py": None,
        "far/__init__.py": "",
        "far/numbers.py": FILES["numbers.py"],
        "a.py": USER.replace("histoweave.numbers", "histoweave.far.numbers"),
    },
    "a module of another name": {
        "numbers.py": None,
        "zahlen.py": FILES["numbers.py"],
        "a.py": USER.replace("histoweave.numbers", "histoweave.zahlen"),
    },
    "an import for type checkers": {
        "a.py": "from typing import TYPE_CHECKING\n"
        + USER
        + "\nif TYPE_CHECKING:\n    from histoweave.others import one\n",
        "b.py": "",
    },
    "a module that nothing imports": {"new.py": "VALUE = 1\n"},
}
OTHER = {
    "a function": {"a.py": USER.replace("one(x)", "one(x + 1)")},
    "a function that is imported": {"numbers.py": "def one(x):\n    return x + 3\n"},
    "a function of the same name of another module": {"a.py": USER.replace("histoweave.numbers", "histoweave.others")},
    "another function of the same module": {
        "numbers.py": FILES["numbers.py"] + "\ndef two(x):\n    return x - 1\n",
        "a.py": USER.replace("import one", "import two as one"),
    },
    "a file beside a module": {"table.tsv": "a\tb\n"},
    "an import for an effect": {"a.py": USER + "\nimport histoweave.others\n"},
}


@pytest.mark.parametrize("change", SAME)
def test_what_does_not_count(hashed, change):
    before = hashed({"a.py": "from typing import TYPE_CHECKING\n" + USER}) if "type checkers" in change else hashed()
    assert hashed(SAME[change]) == before


@pytest.mark.parametrize("change", OTHER)
def test_what_counts(hashed, change):
    assert hashed(OTHER[change]) != hashed()


def test_a_module_as_a_name(hashed):
    """Renamed together with the module; the functions that are called on it count."""
    by_name = "from histoweave import {0}\n\ndef f(x):\n    return {0}.one({0}.one(x))\n"
    before = hashed({"a.py": by_name.format("numbers")})
    moved = {"numbers.py": None, "far/__init__.py": "", "far/counting.py": FILES["numbers.py"]}
    text = by_name.format("counting").replace("from histoweave", "from histoweave.far")
    assert hashed(moved | {"a.py": text}) == before
    assert hashed({"a.py": by_name.format("others")}) != before


def test_two_functions_that_change_places(hashed):
    two = "from histoweave.numbers import one\nfrom histoweave.others import one as two\n\ndef f(x):\n    return {}\n"
    assert hashed({"a.py": two.format("one(x) - two(x)")}) != hashed({"a.py": two.format("two(x) - one(x)")})


def test_one_name_for_two_things(hashed):
    """Names that stand for one thing here and another there are not mistaken for each other."""
    text = "def f():\n    from histoweave.{} import one\n    return one\n\ndef g():\n    from histoweave.{} import one\n    return one\n"
    assert hashed({"a.py": text.format("numbers", "others")}) != hashed({"a.py": text.format("numbers", "numbers")})


def test_a_circle_is_refused(hashed):
    with pytest.raises(ImportError, match=r"histoweave\.a -> histoweave\.numbers -> histoweave\.a"):
        hashed({"numbers.py": "def one(x):\n    from histoweave.a import f\n    return f\n"})


def test_an_unknown_module():
    with pytest.raises(ModuleNotFoundError):
        fingerprint.code_hash("histoweave.nothing")


def test_every_module_has_a_fingerprint():
    """Also of those that no rule names: no circle anywhere."""
    paths = sorted((ROOT / "workflow/histoweave").rglob("*.py"))
    names = [".".join(path.relative_to(ROOT / "workflow").with_suffix("").parts) for path in paths]
    assert len({fingerprint.code_hash(name.removesuffix(".__init__")) for name in names}) > 250


def test_a_file_of_the_library_can_move(tmp_path):
    """A module that many import, to another folder under another name: no module's fingerprint changes, itself included."""
    library = shutil.copytree(ROOT / "workflow", tmp_path / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    old, new = "histoweave.cohort.folds", "histoweave.elsewhere.divided"
    before = Library(ROOT / "workflow")
    (library / "histoweave/elsewhere").mkdir()
    (library / "histoweave/elsewhere/__init__.py").write_text("")
    (library / before.path_of(old).relative_to(ROOT / "workflow")).rename(library / "histoweave/elsewhere/divided.py")
    for path in library.rglob("*.py"):
        path.write_text(re.sub(rf"\b{re.escape(old)}\b", new, path.read_text()))
    after = Library(library)
    for module in (
        "histoweave.wiring.tissue",
        "histoweave.wiring.validation",
        "histoweave.cohort.shuffles",
        "histoweave.fusion.fusion_fold",
    ):
        assert after.code_hash(module) == before.code_hash(module), module
    assert after.code_hash(new) == before.code_hash(old)
