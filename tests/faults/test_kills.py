"""A run of other mechanics that is killed at any moment, and run again, ends with the bytes of one left alone."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter

import yaml
from cohorts import SmallRun, hashes
from running import ROOT, planned, snakemake

CONFIG = SmallRun.CONFIG
STAGES = {"tiles": "tile_slides", "features": "extract_features", "fusion": "fusion_fold"}
# Of a dictionary's folder: the rule, and the file that it writes last.
FITS = {"seed": ("fit_sae", "history.parquet"), "fold": ("fit_sae_fold", "activations.h5")}


def running_rules(folder):
    """Rules whose jobs have begun and not ended, by their logs and what they declare."""
    results = folder / "results/demo"
    begun = running_fits(folder / "results/lab_a")
    for log in (results / "logs").rglob("*.log"):
        stage = log.relative_to(results / "logs").parts[0]
        if stage not in STAGES:
            continue
        if log.name == "project_tiles.log":  # of two folds, whose files are finished together
            begun["project_tiles"] += not (results / "fusion/projected/fold1.h5").exists()
            continue
        output = {
            "tiles": results / "tiles" / "shards" / f"{log.stem}.json",
            "features": results / "features" / log.parent.name / "shards" / f"{log.stem}.json",
            "fusion": results / "fusion" / log.parent.name / log.stem / "predictions.parquet",
        }[stage]
        begun[STAGES[stage]] += not output.exists()
    return +begun


def running_fits(results):
    """The same of dictionaries, of all images and of folds."""
    begun = Counter()
    for log in (results / "logs/sae/cells").glob("*[0-9].log"):
        rule, last = FITS[log.stem.rstrip("0123456789")]
        begun[rule] += not (results / "sae/cells" / log.stem / last).exists()
    return +begun


def with_other_mechanics(folder):
    """Another shard size and number of readers than the undisturbed run has: neither may change a byte."""
    path = folder / "config/config.yaml"
    raw = yaml.safe_load(path.read_text())
    assert raw["mechanics"] == {"slides_per_shard": 8}
    path.write_text(yaml.safe_dump(raw | {"mechanics": {"slides_per_shard": 4, "read_workers": 1}}))


def start(folder):
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--directory", str(folder)]
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(
            [*command, "--cores", "2", *CONFIG], cwd=folder, stdout=output, stderr=output, start_new_session=True
        )


def test_killed_runs_end_as_if_nothing_had_happened(small, tmp_path, request):
    whole_s = small.seconds
    kills = request.config.getoption("--kills")
    seed = request.config.getoption("--kill-seed")
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    rng = random.Random(seed)
    print(f"kill seed {seed}; an undisturbed run takes {whole_s:.0f} s")
    hit, done, life = Counter(), 0, 0
    while done < kills:
        life += 1
        folder = tmp_path / f"life{life}"
        shutil.copytree(small.simulated, folder, copy_function=shutil.copy2)
        with_other_mechanics(folder)
        while True:
            run = start(folder)
            try:
                if done < kills:
                    run.wait(timeout=rng.uniform(3.0, min(30.0, whole_s)))
                else:
                    run.wait(timeout=20 * whole_s)
            except subprocess.TimeoutExpired:
                hit.update(running_rules(folder).keys() or ["between jobs"])
                os.killpg(run.pid, signal.SIGKILL)
                run.wait()
                done += 1
                # The documented way on: remove the lock that the killed run left, and run again.
                snakemake("--unlock", *CONFIG, directory=folder)
                continue
            assert run.returncode == 0, (folder / "output.txt").read_text()[-4000:]
            break
        assert hashes(folder / "results") == small.hashes, f"life {life}, seed {seed}"
        assert not list((folder / "results").rglob(".partial*"))
        assert planned(snakemake("-n", *CONFIG, directory=folder)) == {}
    print(f"{done} kills in {life} lives; jobs that were running: {dict(hit)}")
    if kills >= 20:
        assert {"extract_features", "fusion_fold"} <= set(hit)
