"""The table "Cells and concepts" of docs/reruns.md cell by cell: what a dry run plans after each change."""

import shutil
from pathlib import Path

import changes
import pytest
from cell_changes import EVENTS, KEYS, OF_REVIEWED, REVIEWED, changed_run, cohorts_of
from cell_stubs import make_cohorts, pretend_done
from dry_runs import dry_run
from edits import NOTHING
from rerun_table import (
    CELL_KEYS,
    CELL_PAGE,
    KEY,
    change_of,
    keys_of,
    leaves,
    n_planned,
    observed_rows,
    planned_stages,
    rows,
)
from rerun_table import CELL_RULES as RULES
from stubs import COHORT, CONFIG, record_as_made, write_bundle

from histoweave.settings.config import Config

SHARDS = "shards"
TABLE = dict(rows(CELL_PAGE))


def test_every_key_has_a_row_and_a_value():
    assert keys_of(TABLE) == set(KEYS)
    of_the_arm = {key for key in leaves(Config) if CELL_KEYS.match(key)}
    assert of_the_arm - set(KEYS) == {"sae.source"}  # its test is beside those of slides


def test_every_row_has_a_test_and_every_test_a_row():
    assert {change_of(row) for row in TABLE} == set(KEYS) | set(EVENTS)


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    """Finished cohorts of stubs: as they are, and with a review whose rejected concepts are left out."""
    folders = {name: tmp_path_factory.mktemp("cells") / "done" for name in ("plain", "reviewed")}
    make_cohorts(folders["plain"])
    pretend_done(folders["plain"])
    changed_run(folders["plain"], folders["reviewed"], NOTHING, config=REVIEWED)
    record_as_made(folders["reviewed"])
    return folders


def observe(done: dict[str, Path], folder: Path, change: str) -> dict[str, str]:
    """What a dry run plans after a change, and of how many shards."""
    name, config = ("reviewed", REVIEWED) if change in OF_REVIEWED else ("plain", None)
    run = changed_run(done[name], folder, change, config=config)
    try:
        dry = dry_run(*CONFIG, *run.arguments, directory=run.folder, root=run.root, variables=KEY)
        output = dry.stdout + dry.stderr
        cohorts = cohorts_of(change)
        n_shards = max(n_planned(output, "embed_cells", cohort) for cohort in cohorts)
        return planned_stages(output, RULES, cohorts) | {SHARDS: {0: "", 1: "1"}.get(n_shards, "all")}
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def observed(done, tmp_path_factory, request):
    """Row → future of its cells."""
    folder = tmp_path_factory.mktemp("changes")
    with observed_rows(request, TABLE, lambda number, change: observe(done, folder / str(number), change)) as found:
        yield found


CELLS = [(row, column) for row, cells in TABLE.items() for column in cells]


@pytest.mark.parametrize(("row", "stage"), CELLS, ids=[f"{row}-{stage}" for row, stage in CELLS])
def test_what_is_planned(observed, row, stage):
    assert observed[row].result().get(stage, "") == TABLE[row][stage]


def test_nothing_is_planned_without_a_change(done):
    dry = dry_run(*CONFIG, directory=done["plain"])
    assert planned_stages(dry.stdout + dry.stderr, RULES, {COHORT}) == {}
    assert "Nothing to be done" in dry.stdout + dry.stderr
    assert "missing provenance" not in dry.stdout + dry.stderr


def test_keys_of_the_tissue_arm_and_of_the_machine_leave_the_cell_arm_alone(done, tmp_path):
    run = changed_run(done["plain"], tmp_path / "run", NOTHING)
    for key, value in changes.KEYS.items():
        if key not in KEYS and not key.startswith(("cohorts.", "features.encoder.weights")):
            run.set(key, value)
    (run.folder / "other.gmt").write_text("SET\tna\tGENE1\n")
    write_bundle(run.folder / "other_bundle")
    run.set("cohorts.<name>.ids", "plain")
    run.set("cohorts.<name>.positive", "A")
    run.write()
    dry = dry_run(*CONFIG, directory=run.folder)
    assert planned_stages(dry.stdout + dry.stderr, RULES, {COHORT}) == {}
    assert "Nothing to be done" in dry.stdout + dry.stderr
