"""docs/reruns.md cell by cell: what a dry run plans after each change, and which slides a planned job works on."""

import shutil
from pathlib import Path

import cell_changes
import pytest
from changes import DRAWN, EVENTS, KEYS, SIMULATE, changed_run
from dry_runs import dry_run
from edits import NOTHING
from rerun_table import (
    CELL_KEYS,
    CELL_RULES,
    KEY,
    TISSUE_PAGE,
    TISSUE_RULES,
    change_of,
    keys_of,
    leaves,
    observed_rows,
    planned_stages,
    rows,
)
from shard_work import work_on
from stubs import COHORT, CONFIG, N_SLIDES, make_cohort, pretend_done

from histoweave.settings.cohorts import Simulate
from histoweave.settings.config import Config

WORKED_ON = {"slides tiled": "tiles", "slides encoded": "features"}

TABLE = dict(rows(TISSUE_PAGE))


def test_every_key_has_a_row_and_a_value():
    keys = {key for key in leaves(Config) if not CELL_KEYS.match(key)}
    assert len(keys) > 60 and {f"cohorts.<name>.simulate.{name}" for name in Simulate.model_fields} <= keys
    assert keys == keys_of(TABLE) == set(KEYS) | set(SIMULATE)


def test_every_row_has_a_test_and_every_test_a_row():
    assert {change_of(row) for row in TABLE} == set(KEYS) | set(SIMULATE) | set(EVENTS)


# ---------------------------------------------------------------- the table against dry runs


def stages(run) -> dict[str, str]:
    """What a dry run plans for the cohort of stubs."""
    return planned_stages(run.stdout + run.stderr, TISSUE_RULES, {COHORT})


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
    simulated = change in SIMULATE or change in DRAWN
    run = changed_run(done[simulated], folder, change, simulated=simulated)
    try:
        dry = dry_run(*CONFIG, *run.arguments, directory=run.folder, root=run.root, variables=KEY)
        return stages(dry)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def observed(done, tmp_path_factory, request):
    """Row → future of its cells."""
    folder = tmp_path_factory.mktemp("changes")
    with observed_rows(request, TABLE, lambda number, change: observe(done, folder / str(number), change)) as found:
        yield found


CELLS = [(row, column) for row, cells in TABLE.items() for column in cells if column not in WORKED_ON]


@pytest.mark.parametrize(("row", "stage"), CELLS, ids=[f"{row}-{stage}" for row, stage in CELLS])
def test_what_is_planned(observed, row, stage):
    assert observed[row].result().get(stage, "") == TABLE[row][stage]


@pytest.mark.parametrize("simulated", [False, True])
def test_nothing_is_planned_without_a_change(done, simulated):
    dry = dry_run(*CONFIG, directory=done[simulated])
    assert stages(dry) == {}
    assert "missing provenance" not in dry.stdout + dry.stderr


def test_keys_of_the_cell_arm_leave_the_tissue_arm_alone(done, tmp_path):
    run = changed_run(done[False], tmp_path / "run", NOTHING)
    (run.folder / "review.csv").touch()
    for key, value in cell_changes.KEYS.items():
        if CELL_KEYS.match(key) and not key.startswith("cohorts."):
            run.set(key, value)
    run.write()
    dry = dry_run(*CONFIG, directory=run.folder)
    assert stages(dry) == {} and "Nothing to be done" in dry.stdout + dry.stderr


def test_dictionaries_of_tiles_are_fitted_without_a_model_being_fitted_anew(done, tmp_path):
    run = changed_run(done[False], tmp_path / "run", NOTHING)
    run.set("sae.source", "tiles")
    run.write()
    dry = dry_run(*CONFIG, directory=run.folder)
    made = planned_stages(dry.stdout + dry.stderr, TISSUE_RULES | CELL_RULES, {COHORT})
    assert made == dict.fromkeys(CELL_RULES.keys() - {"cells"}, "●") | {
        "explain": "●", "bundle": "●", "apply": "○", "report": "●", "crate": "○",  # which are told in concepts too
    }  # fmt: skip


def test_a_strict_run_plans_the_shards_of_slides_that_cannot_be_used(done, tmp_path):
    run = changed_run(done[False], tmp_path / "run", "on_error")
    index = sorted((run.folder / f"results/{COHORT}/tiles/shards").glob("*.json"))[0]
    text = index.read_text()
    index.write_text(text.replace('"status": "ok"', '"status": "no_tissue"', 1))
    assert index.read_text() != text
    dry = dry_run(*CONFIG, directory=run.folder)
    assert stages(dry)["tiles"] == "●"


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
