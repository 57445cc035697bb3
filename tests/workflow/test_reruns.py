"""docs/reruns.md cell by cell: what a dry run plans after each change, and which slides a planned job works on."""

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from changes import EVENTS, FIXED, KEYS, NOTHING, SIMULATE, changed_run
from pydantic import BaseModel
from running import ROOT, snakemake
from shard_work import work_on
from stubs import COHORT, CONFIG, N_SLIDES, make_cohort, pretend_done

from histoweave.config import Cohort, Config, Simulate

PAGE = ROOT / "docs" / "reruns.md"
RULES = {
    "simulation": ("simulate_slide", "simulate_expression"),
    "tiles": ("tile_slides",),
    "features": ("extract_features",),
    "expression": ("expression",),
    "cohort": ("cohort",),
    "folds": ("folds", "control_folds"),
    "fusion": ("fusion_fold",),
    "evaluation": ("evaluate", "evaluate_control", "score_truth"),
    "report": ("report",),
}
STAGE_OF = {rule: stage for stage, rules in RULES.items() for rule in rules}
WORKED_ON = {"slides tiled": "tiles", "slides encoded": "features"}
ITSELF = re.compile(
    r"Missing output files|Incomplete output files|Updated input files: \S|Set of input files has changed"
    r"|Params have changed|Code has changed|Software environment definition has changed"
)
AFTER = "Input files updated by another job"


def rows(page: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Change and cells by column of every row of the tables whose first column is called `change`."""
    columns: list[str] = []
    for line in page.splitlines():
        if not line.startswith("|"):
            columns = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == "change":
            columns = cells
        elif columns and not set(cells[0]) <= {"-", ":"}:
            yield cells[0], dict(zip(columns[1:], cells[1:], strict=True))


TABLE = dict(rows(PAGE.read_text(encoding="utf-8")))


def change_of(row: str) -> str:
    """The key that a row is about, or its text for what is no key."""
    key = re.fullmatch(r"`([\w.<>]+)`", row)
    return key[1] if key else row


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted paths of all keys that hold no further section."""
    for name, field in model.model_fields.items():
        if name == "cohorts":
            yield from leaves(Cohort, "cohorts.<name>.")
            continue
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        sections = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if sections:
            yield from leaves(sections[0], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_every_key_has_a_row_and_a_value():
    keys = set(leaves(Config))
    assert len(keys) > 60 and {f"cohorts.<name>.simulate.{name}" for name in Simulate.model_fields} <= keys
    assert keys == {change_of(row) for row in TABLE if re.fullmatch(r"`[\w.<>]+`", row)} | FIXED
    assert keys == set(KEYS) | set(SIMULATE) | FIXED


def test_every_row_has_a_test_and_every_test_a_row():
    assert {change_of(row) for row in TABLE} == set(KEYS) | set(SIMULATE) | set(EVENTS)


def test_keys_without_a_row_can_hold_one_value_only():
    for path in FIXED:
        name = path.rsplit(".", 1)[1]
        assert len(Cohort.model_fields[name].annotation.__args__) == 1, path


# ---------------------------------------------------------------- the table against dry runs


def planned_stages(output: str) -> dict[str, str]:
    """Stage → `●` or `○`, from the jobs of a dry run and the reasons that it states."""
    cells: dict[str, str] = {}
    for rule, job in re.findall(r"^rule (\w+):\n((?:    .*\n)+)", output, re.MULTILINE):
        if rule == "all" or f"cohort={COHORT}" not in job:
            continue
        reason = re.search(r"^    reason: (.*)$", job, re.MULTILINE)[1]
        itself = ITSELF.search(reason)
        assert itself or AFTER in reason, f"{rule}: a reason that this test does not know: {reason}"
        stage = STAGE_OF[rule]
        cells[stage] = "●" if itself or cells.get(stage) == "●" else "○"
    assert cells or "Nothing to be done" in output or "cohort=another" in output, output
    return cells


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    """Finished cohorts of stubs by whether they are simulated."""
    found = {}
    for simulated in (False, True):
        found[simulated] = tmp_path_factory.mktemp("stubs") / "done"
        make_cohort(found[simulated], simulated=simulated)
        pretend_done(found[simulated])
    return found


def observe(done: dict[bool, Path], folder: Path, change: str) -> dict[str, str]:
    """What a dry run plans after a change."""
    simulated = change in SIMULATE
    run = changed_run(done[simulated], folder, change, simulated=simulated)
    try:
        dry = snakemake("-n", *CONFIG, *run.arguments, directory=run.folder, root=run.root)
        return planned_stages(dry.stdout + dry.stderr)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def observed(done, tmp_path_factory, request):
    """Row → future of its cells, of the rows whose tests were asked for; two dry runs at a time."""
    wanted = [item.callspec.params.get("row") for item in request.session.items if hasattr(item, "callspec")]
    folder = tmp_path_factory.mktemp("changes")
    with ThreadPoolExecutor(2) as pool:
        asked = [row for row in dict.fromkeys(wanted) if row in TABLE]
        yield {row: pool.submit(observe, done, folder / str(n), change_of(row)) for n, row in enumerate(asked)}
        pool.shutdown(cancel_futures=True)


CELLS = [(row, column) for row, cells in TABLE.items() for column in cells if column not in WORKED_ON]


@pytest.mark.parametrize(("row", "stage"), CELLS, ids=[f"{row}-{stage}" for row, stage in CELLS])
def test_what_is_planned(observed, row, stage):
    assert observed[row].result().get(stage, "") == TABLE[row][stage]


def test_nothing_is_planned_without_a_change(done):
    dry = snakemake("-n", *CONFIG, directory=done[False])
    assert planned_stages(dry.stdout + dry.stderr) == {}
    assert "missing provenance" not in dry.stdout + dry.stderr


def test_a_strict_run_plans_the_shards_of_slides_that_cannot_be_used(done, tmp_path):
    run = changed_run(done[False], tmp_path / "run", "on_error")
    index = sorted((run.folder / f"results/{COHORT}/tiles/shards").glob("*.json"))[0]
    text = index.read_text()
    index.write_text(text.replace('"status": "ok"', '"status": "no_tissue"', 1))
    assert index.read_text() != text
    dry = snakemake("-n", *CONFIG, directory=run.folder)
    assert planned_stages(dry.stdout + dry.stderr)["tiles"] == "●"


# ---------------------------------------------------------------- the slides that a planned job works on

STAGES = [(row, column) for row, cells in TABLE.items() for column in WORKED_ON if column in cells]


@pytest.fixture(scope="session")
def worked(done, tmp_path_factory):
    """A finished cohort whose slides have the records of the stages' own jobs; and what later runs worked on, by row."""
    run = changed_run(done[False], tmp_path_factory.mktemp("worked") / "run", NOTHING)
    assert set(work_on(run).values()) == {N_SLIDES} and set(work_on(run).values()) == {0}
    return run.folder, {}


@pytest.mark.parametrize(("row", "column"), STAGES, ids=[f"{row}-{column}" for row, column in STAGES])
def test_slides_that_are_worked_on(worked, tmp_path, row, column):
    folder, counts = worked
    if row not in counts:
        counts[row] = work_on(changed_run(folder, tmp_path / "run", change_of(row)))
    number = counts[row][WORKED_ON[column]]
    assert {0: "", 1: "1", N_SLIDES: "all"}[number] == TABLE[row][column]
