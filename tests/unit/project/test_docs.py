"""The documents agree with the code and with each other: generated pages, lists of rules and targets, links, length."""

import re
import subprocess
import sys
from itertools import pairwise

import pytest
from rule_texts import RULES, rules
from running import ROOT

from histoweave.wiring.fingerprint import path_of
from histoweave.wiring.reference import ENCODERS, PAGE, encoders_page, page

DOCS = sorted((ROOT / "docs").glob("*.md"))
BESIDES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config/README.md")]
RULES_PAGE = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SNAKEFILE = (ROOT / "Snakefile").read_text()


def prose(path):
    """The text of a document without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(path):
    """What a link can point to: headings, as GitHub names them."""
    titles = re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_readme_is_short():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(" ".join(lines).split()) <= 600 and max(map(len, lines)) <= 120


def test_the_reference_is_in_step_with_the_code():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m histoweave.wiring.reference"
    assert ENCODERS.read_text(encoding="utf-8") == encoders_page(), "run: python -m histoweave.wiring.reference"


def test_every_key_has_a_meaning():
    assert not [line for line in page().splitlines() if line.endswith("|  |")]


def test_the_rules_are_all_listed_with_their_file_and_module():
    table = re.findall(r"^\| `(\w+)` \| `(\w+\.smk)` \| `([\w.]+)` \| \S", RULES_PAGE, flags=re.MULTILINE)
    inherited = dict(re.findall(r"^use rule (\w+) as (\w+) with:$", RULES, flags=re.MULTILINE))
    assert sorted(name for name, _, _ in table) == sorted([*rules(), *inherited.values()])
    for name, file, module in table:
        text = (ROOT / "rules" / file).read_text()
        parent = next((old for old, new in inherited.items() if new == name), name)
        assert re.search(rf"^(rule {name}:|use rule \w+ as {name} with:)$", text, flags=re.MULTILINE), name
        assert f'"histoweave.{module}"' in rules()[parent] and path_of(f"histoweave.{module}"), name


def test_the_targets_are_all_listed():
    listed = re.findall(r"^\| `(\w+)`(?: \(default\))? \| [^`]", RULES_PAGE, flags=re.MULTILINE)
    assert listed == ["all", "prepare", "concepts", "apply", "export"]
    assert sorted(listed) == sorted(re.findall(r"^rule (\w+):$", SNAKEFILE, flags=re.MULTILINE))


def test_the_architecture_names_every_module_and_no_other():
    table = re.search(r"^\| folder \|.*?\n\n", ARCHITECTURE, flags=re.MULTILINE | re.DOTALL)[0]
    named = {name.rstrip("/").rpartition("/")[2] for name in re.findall(r"`([\w/]+)`", table)}
    library = ROOT / "workflow" / "histoweave"
    modules = {path.stem for path in library.rglob("*.py")} - {"__init__"}
    folders = {path.name for path in library.rglob("*") if path.is_dir()}
    assert not modules - named and not named - modules - folders


@pytest.mark.parametrize("path", [*DOCS, *BESIDES], ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    """Those between the pages are checked by `mkdocs build --strict` as well, which knows nothing of other files."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if "://" not in link:
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_lists_and_tables_begin_after_a_blank_line(path):
    """GitHub shows them all the same, the site does not."""
    lines = prose(path).splitlines()
    for before, line in pairwise(lines):
        starts = re.match(r"(- |\d+\. |\|)", line)
        if starts and before.strip() and not re.match(r"(- |\d+\. |\||  )", before):
            raise AssertionError(line)


def test_pages_that_code_and_configuration_name_exist():
    folders = [ROOT / name for name in ("workflow", "rules", "config", "tests", "benchmarks")]
    files = [
        path for folder in folders for path in folder.rglob("*") if path.suffix in {".py", ".smk", ".yaml", ".rst"}
    ]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    named = set(re.findall(r"docs/\w+\.md", text))
    assert named and not [name for name in named if not (ROOT / name).is_file()]


def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "glossary.html").is_file()
