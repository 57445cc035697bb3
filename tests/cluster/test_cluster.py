"""A cohort through SLURM, its controller killed in the middle, gives what an undisturbed local run gives."""

import shutil
import signal
import subprocess
import time
from itertools import combinations

import h5py
import numpy as np
import pandas as pd
import pytest
from compare import difference, tables
from running import planned
from safetensors.numpy import save_file
from slurm import environment, jobs_of

from histoweave.fusion import catalog
from histoweave.storage.files import write_table

pytestmark = pytest.mark.timeout(3600)
ON_GPUS = (
    "extract_features", "fusion_fold", "embed_cells", "fit_sae", "fit_sae_fold", "encode_concepts", "encode_fold", "score_concepts",
    "transfer_concepts", "explain_fold", "learning_fold", "site_fold",
)  # fmt: skip
GPUS = (
    "--set-resources",
    *(f"{rule}:{what}" for rule in ON_GPUS for what in ("gpu_model=fake", "slurm_partition=gpu")),
)
FOLDS_BEFORE_THE_KILL = 4
# One job per attempt; the first has too little memory.
GREEDY_RULE = """
rule hungry:
    output: "fed.txt"
    log: "hungry.log"
    resources: mem_mb=lambda wildcards, attempt: 200 * attempt, runtime=5
    shell: "echo $SLURM_JOB_ID {resources.mem_mb} >> attempts.txt; test {resources.mem_mb} -gt 200 && touch {output}"
"""


def said(folder):
    return (folder / "controller.txt").read_text()[-6000:]


@pytest.fixture(scope="module")
def disturbed(slurm, local, tmp_path_factory):
    """The cohort, run through the cluster with a killed controller: its folder, how it is called, the orphans at the
    restart."""
    folder = tmp_path_factory.mktemp("cluster")
    shutil.copytree(local[0] / "config", folder / "config")
    call = (*GPUS, *local[1])
    controller = slurm.start(*call, directory=folder)
    fits, orphans = folder / "results" / "demo", set()
    try:
        deadline = time.monotonic() + 1500
        while len(list(fits.glob("*/*/fold*/predictions.parquet"))) < FOLDS_BEFORE_THE_KILL or not orphans:
            assert controller.poll() is None and time.monotonic() < deadline, said(folder)
            time.sleep(0.5)
            orphans = slurm.waiting_or_running("RUNNING")
    finally:
        controller.send_signal(signal.SIGKILL)
        controller.wait()
    # Orphans stand still until the next controller starts, however long the two commands before it take.
    orphans = slurm.waiting_or_running("RUNNING")
    slurm.signal("STOP", orphans)
    locked = subprocess.run(
        slurm.command(*call), cwd=folder, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert locked.returncode != 0 and "--unlock" in locked.stdout + locked.stderr
    assert slurm.run("--unlock", *call, directory=folder) == 0, said(folder)
    orphans &= slurm.waiting_or_running()
    resumed = slurm.start(*call, directory=folder)
    slurm.signal("CONT", orphans)
    assert slurm.end(resumed) == 0, said(folder)
    while slurm.waiting_or_running():
        time.sleep(1)
    return folder, call, orphans


def test_a_run_that_was_killed_and_resumed_gives_the_same_values(disturbed, local):
    folder, _, orphans = disturbed
    assert orphans, "no job of the killed run was left when the run was resumed: the test shows nothing"
    ours, theirs = folder / "results", local[0] / "results"
    assert tables(ours) == tables(theirs)
    weights = {path.parent for path in tables(ours) if path.suffix == ".safetensors"}
    fits = {
        path.relative_to(ours)
        for pattern in ("*/fusion/*/fold[0-9]*", "*/sae/*/seed[0-9]*", "*/sae/*/fold[0-9]*")
        for path in ours.glob(pattern)
        if path.is_dir()  # projected tiles of a fold are a file
    }
    assert len(fits) >= 14 and fits <= weights
    differences = {str(path): difference(ours / path, theirs / path) for path in sorted(tables(ours))}
    assert {path: by for path, by in differences.items() if by > 0} == {}


def test_the_comparison_sees_the_smallest_change(tmp_path):
    values = np.array([0.25, np.nan, 1.0], dtype=np.float32)
    changed = np.nextafter(values, 2)
    for name, content in (("one", values), ("same", values.copy()), ("other", changed)):
        write_table(tmp_path / f"{name}.parquet", pd.DataFrame({"patient": ["a", "b", None], "p": content}))
        save_file({"weight": content}, tmp_path / f"{name}.safetensors")
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["group/features"] = content
    for suffix in (".parquet", ".safetensors", ".h5"):
        one, same, other = ((tmp_path / name).with_suffix(suffix) for name in ("one", "same", "other"))
        assert difference(one, same) == 0 and 0 < difference(one, other) < 1e-5


def test_nothing_is_left_to_do(disturbed, slurm):
    folder, call, _ = disturbed
    run = subprocess.run(
        [*slurm.command("-n", *call)], cwd=folder, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0 and planned(run) == {}
    assert not [path for path in (folder / "results").rglob(".partial*") if path.is_file()]


def test_every_training_job_has_a_gpu_of_its_own(disturbed, slurm):
    folder, _, _ = disturbed
    tasks, fits = slurm.tasks(), jobs_of(folder, "fusion_fold")
    # The log folder's name is <cohort>_<arm>_<model>_<k>.
    models = {job: name.rpartition("_")[0].split("_", 2)[2] for job, name in fits.items()}
    asked = {job for job, model in models.items() if catalog.get(model).neural}
    made = {path.parent.parts[-2:] for path in (folder / "results/demo/fusion").glob("*/fold*/predictions.parquet")}
    trained = {f"demo_fusion_{model}_{fold.removeprefix('fold')}" for model, fold in made if catalog.get(model).neural}
    assert len(trained) >= 6 and {fits[job] for job in asked} == trained and fits.keys() - asked
    assert all(len(tasks[job].devices) == 1 for job in asked & tasks.keys())
    assert not any(tasks[job].devices for job in (fits.keys() - asked) & tasks.keys())
    assert len({tasks[job].devices for job in asked & tasks.keys()}) > 1
    on_gpus = [task for task in tasks.values() if task.devices]
    for a, b in combinations(on_gpus, 2):
        assert a.devices != b.devices or a.end <= b.begin or b.end <= a.begin


def test_a_failed_job_is_submitted_again_with_more_memory(slurm, tmp_path):
    (tmp_path / "Snakefile").write_text(GREEDY_RULE)
    assert slurm.run(directory=tmp_path, snakefile=tmp_path / "Snakefile") == 0, said(tmp_path)
    first, second = (line.split() for line in (tmp_path / "attempts.txt").read_text().splitlines())
    assert (first[1], second[1]) == ("200", "400") and first[0] != second[0]
    shown = subprocess.run(["scontrol", "show", "job", second[0]], capture_output=True, text=True, timeout=30)
    assert "mem=400M" in shown.stdout
