"""A section is added by the files that docs/extend.md says: in a copy of the workflow, from the rule's outputs to the page."""

import os
import re
import shutil
import subprocess
import sys
import textwrap

import pytest
from dry_runs import dry_run
from running import ROOT

from histoweave.pages.report.sections import FIGURE_FILES, SECTIONS, codes

FOLDERS = ("workflow", "rules", "config", "profiles", "tests/helpers")
RUN = """
import dataclasses, sys
from pathlib import Path
from types import SimpleNamespace
from report_data import write_run
from script_runs import Named, run
folder = Path(sys.argv[1])
made = write_run(folder / "run", n_patients=24, optional=False, models=("majority", "image"))
files = {name: str(path) for name, path in vars(made).items() if isinstance(path, Path) and name != "figures"}
run(
    "report",
    log=[str(folder / "log")],
    wildcards=SimpleNamespace(cohort="synthetic"),
    input=Named(files, again=str(made.patients)),
    output=Named(
        metrics=folder / "figures/metrics.svg", html=folder / "report.html", summary=folder / "metrics.tsv",
        json=folder / "report.json",
    ),
    params=SimpleNamespace(
        models=made.models, classes=made.classes, config=made.config, benchmarks=str(folder / "none"), privacy={},
        thumbnails=str(folder / "none"), overlays="", links={}, explained="", stages={},
    ),
)
"""


def described():
    """The blocks of code of the how-to: the code, the declaration, the piece of the page, the caption."""
    text = (ROOT / "docs/extend.md").read_text().split("## A section of the report")[1]
    blocks = re.findall(r"^   ```\w+\n(.*?)^   ```$", text, flags=re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for block in blocks]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the workflow with the example; its section also reads a table of its own."""
    root = tmp_path_factory.mktemp("copy")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", root)
    code, declaration, fragment, caption = described()
    own = root / "workflow/histoweave/pages/report/run"
    (own / "slides_per_patient.py").write_text(code)
    (own / "slides-per-patient.html.j2").write_text(fragment)
    (root / "workflow/report/slides_per_patient.rst").write_text(caption)
    reads = 'reads={"again": "cohort/patients.parquet"}, rows=("again",),'
    declaration = declaration.replace("    figures=(", f"    {reads}\n    figures=(")
    declared = (own / "sections.py").read_text()
    assert declared.count("DATA = (\n") == 1
    changed = declared.replace("DATA = (\n", f"{declaration}\nDATA = (\n    SLIDES_PER_PATIENT,\n")
    (own / "sections.py").write_text(changed)
    return root


def test_page_json_and_figure_have_it(copy, tmp_path):
    search = os.pathsep.join(map(str, (copy / "workflow", copy / "tests/helpers")))
    environment = {**os.environ, "PYTHONPATH": search}
    done = subprocess.run([sys.executable, "-c", RUN, tmp_path], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + (tmp_path / "log").read_text()
    page, json = ((tmp_path / f"report.{form}").read_text() for form in ("html", "json"))
    contents = page.split("<nav")[1].split("</nav>")[0]
    part = contents.split('<span class="part">Data</span>')[1].split('<span class="part">')[0]
    assert re.findall(r'href="#([\w-]+)"', part)[:2] == ["slides-per-patient", "cohort-flow"]
    section = page.split('<section id="slides-per-patient"')[1].split("</section>")[0]
    assert "Slides per patient</h2>" in section and "their tiles are pooled" in section
    assert (
        'aria-label="Bars: number of patients by their number of slides"' in section
        and "The figure as a table" in section
    )
    assert '"slides_per_patient": [\n    {\n      "n_slides": 0,\n      "patients": 1' in json
    assert json.count('"again": [\n    {\n') == 1
    assert "<svg" in (tmp_path / "figures/slides_per_patient.svg").read_text()


def test_the_rule_writes_and_reads_it(copy):
    planned = dry_run("results/demo/report.html", directory=copy, root=copy).stdout
    rule = planned.split("\nrule report:\n")[1]
    inputs, outputs = (re.search(rf"^    {kind}: (.+)$", rule, flags=re.MULTILINE)[1] for kind in ("input", "output"))
    assert "results/demo/figures/slides_per_patient.svg" in outputs.split(", ")
    assert inputs.split(", ").count("results/demo/cohort/patients.parquet") == 2
    assert {f"results/demo/figures/{figure.name}.svg" for figure in FIGURE_FILES} < set(outputs.split(", "))


def test_declarations_are_complete():
    for name, section in SECTIONS.items():
        assert set(codes()[name].still) == {figure.name for figure in section.figures}, name
    named = [figure.name for figure in FIGURE_FILES]
    assert len(named) == len(set(named))
    captions = {path.stem for path in (ROOT / "workflow/report").glob("*.rst")}
    assert set(named) <= captions
    categories = {"Cohort", "Results", "Checks", "Explanations", "Decisions", "Run"}  # as in docs/report.md
    assert {figure.category for figure in FIGURE_FILES} == categories


def test_declarations_are_read_without_what_draws():
    """Every start of Snakemake, and every job, reads them."""
    code = (
        "import sys, histoweave.pages.report.sections; "
        "print(*{'matplotlib', 'plotly', 'pandas', 'numpy', 'jinja2'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert not done.stdout.strip()
