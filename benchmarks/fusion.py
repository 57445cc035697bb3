"""Seconds, bytes and memory of each part of the fusion models, beside the loop of the field on the same files.

    python benchmarks/fusion.py [--patients 200] [--tiles 5000] [--dim 1024] [--json FILE]

The parts of one fold: project (all folds at once), an epoch of one network, predictions of all patients, the exchange of the
modalities between test patients, explanations. Every part runs in a process of its own. Bytes are those of the pages of the
files that are asked for, whether the system has them in memory or not.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fusion_loop
from common import alone, machine, show
from fusion_cohort import CLASSES, N_FOLDS, Cohort, make_cohort

K, SEED, EPOCHS, EXPLAINED, EXCHANGED = 0, 1, 3, 2, 8
PAGE_BYTES = 4096
MODELS = ["image", "concat", "cross_attention"]
# What a run of the default configuration does with each of its image models.
FULL_PATIENTS, FULL_TILES, FULL_DIM, ARMS = 1000, 10_000, 1024, 2


class Pages:
    """Counts the bytes of the pages of projected tiles that are asked for."""

    def __init__(self) -> None:
        import numpy as np

        from histoweave.fusion.projected import TileFile

        self.bytes, read = 0, TileFile.read

        def counted(file: Any, patient: str, rows: Any) -> Any:
            size = 2 * file.width
            asked = np.arange(file.count(patient)) if rows is None else rows
            first, last = asked * size // PAGE_BYTES, (asked * size + size - 1) // PAGE_BYTES
            self.bytes += len(np.union1d(first, last)) * PAGE_BYTES
            return read(file, patient, rows)

        TileFile.read = counted  # type: ignore[method-assign]


def read_so_far() -> int:
    """Bytes that this process has read from files by system calls."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["rchar"])


def project(cohort: Cohort) -> dict[str, Any]:
    """Summary of the tiles, and the projected tiles of all folds."""
    from histoweave.fusion.projection import project
    from histoweave.fusion.tile_summary import summarise, write_summary
    from histoweave.settings.fusion import Fusion

    before, started = read_so_far(), time.perf_counter()
    summary = summarise(cohort.patients, cohort.slides, seed=SEED)
    write_summary(cohort.folder / "tile_summary.h5", summary)
    summarised = time.perf_counter() - started
    project(summary, cohort.slides, cohort.folds, settings=Fusion(), seed=SEED, out=tile_files(cohort))
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "summary_s": summarised, "bytes": read_so_far() - before}


def tile_files(cohort: Cohort) -> list[Path]:
    """The projected tiles of each fold."""
    return [cohort.folder / f"fold{k}.h5" for k in range(N_FOLDS)]


def able(cohort: Cohort, model: str) -> dict[str, Any]:
    """The patients of the fold by role."""
    from histoweave.fusion import catalog
    from histoweave.fusion.folds import fold_roles
    from histoweave.fusion.fusion_fold import fold_patients

    tables = {name: getattr(cohort, name) for name in ("patients", "slides", "expression")}
    where = {"summary": cohort.folder / "tile_summary.h5", "projected": tile_files(cohort)[K]}
    _, _, roles = fold_roles(cohort.folds, K)
    return fold_patients(roles, catalog.get(model), **tables, classes=CLASSES, **where)


def parts(cohort: Cohort, model: str, device: str) -> dict[str, Any]:
    """Seconds and bytes of each part with one network, and with as many as the default has."""
    from histoweave.explain.attribution import attribute
    from histoweave.fusion.fit import fit
    from histoweave.fusion.fusion_fold import predict
    from histoweave.settings.evaluation import Evaluation
    from histoweave.settings.explain import Explain
    from histoweave.settings.fusion import Fusion

    pages, sets, found = Pages(), able(cohort, model), {}
    fitting = {"classes": CLASSES, "seed": SEED, "device": device, "needs": {}}
    fitting |= {f"{role}_patients": sets[role] for role in ("train", "val")}

    def timed(name: str, function: Callable[[], Any], n: int = 1) -> Any:
        before, started = pages.bytes, time.perf_counter()
        result = function()
        found[name] = {"seconds": (time.perf_counter() - started) / n, "bytes": (pages.bytes - before) / n}
        return result

    short = Fusion(members=1, patience=EPOCHS)
    fit(model, settings=short.model_copy(update={"epochs": 1}), **fitting)  # what is made once per process
    timed("epoch", lambda: fit(model, settings=short.model_copy(update={"epochs": EPOCHS}), **fitting), EPOCHS)
    fitted, _ = fit(model, settings=Fusion(epochs=1), **fitting)
    timed("predict", lambda: [predict(fitted, fitted.batcher(part), part) for part in sets.values()])
    some = sets["test"].subset(sets["test"].ids[:EXCHANGED])
    # Of each patient's image with the genes of all others; a fold exchanges each patient `permutations` times in both ways.
    pairs = [(image, genes) for image in some.ids for genes in some.ids]
    asked = 2 * Evaluation().permutations / len(some.ids)
    timed("exchange of a patient", lambda: fitted.exchange(fitted.batcher(some), pairs), EXCHANGED)
    found["exchange of a patient"]["seconds"] *= asked
    batcher = fitted.batcher(sets["test"])
    fitted.module.requires_grad_(False)
    batches = [batcher.batch([patient], [patient]) for patient in sets["test"].ids[:EXPLAINED]]
    timed(
        "explanation of a patient",
        lambda: [attribute(fitted, batch, steps=Explain().steps) for batch in batches],
        len(batches),
    )
    return {"parts": found, "train": len(sets["train"].ids), "val": len(sets["val"].ids), "test": len(sets["test"].ids)}


def bags(cohort: Cohort) -> dict[str, list[tuple[str, int]]]:
    """Feature file and label code of the training and validation patients."""
    roles = cohort.folds[cohort.folds["fold"] == K].set_index("patient")["role"]
    table = cohort.slides.merge(cohort.patients[["patient", "label"]], on="patient")
    return {
        role: [
            (row.features, CLASSES.index(row.label))
            for row in table[table["patient"].map(roles) == role].itertuples(index=False)
        ]
        for role in ("train", "val")
    }


def whole_run(figures: dict[str, Any]) -> float:
    """Hours of the image models of a whole run at full size on this machine: every part scales with the patients; parts
    that look at all tiles with these too."""
    from histoweave.settings.fusion import Fusion

    settings, cohort = Fusion(), figures["cohort"]
    by_patient = FULL_PATIENTS / cohort["patients"]
    by_tile = by_patient * FULL_TILES / cohort["tiles"]
    seconds = ARMS * figures["project"]["seconds"] * by_tile * FULL_DIM / cohort["dim"]
    for model in figures["models"].values():
        part = {name: found["seconds"] for name, found in model["parts"].items()}
        epochs = settings.epochs * settings.members * part["epoch"] * by_patient
        test = model["test"] * by_tile
        evaluation = (
            part["predict"] * by_tile + (part["exchange of a patient"] + 2 * part["explanation of a patient"]) * test
        )
        seconds += N_FOLDS * (epochs + evaluation)
    return seconds / 3600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--tiles", type=int, default=5000, help="tiles of each patient")
    parser.add_argument("--dim", type=int, default=1024, help="values per tile")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--no-loop", action="store_true", help="leave out the loop of the field")
    parser.add_argument("--work", type=Path, help="folder that keeps the cohort between runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    about = machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.work or Path(temporary)
        cohort = make_cohort(folder, n_patients=options.patients, n_tiles=options.tiles, dim=options.dim)
        figures: dict[str, Any] = {
            "machine": about,
            "cohort": {"patients": options.patients, "tiles": options.tiles, "dim": options.dim},
            "raw_bytes": cohort.raw_bytes,
            "project": alone(project, cohort),
            "models": {model: alone(parts, cohort, model, options.device) for model in options.models},
        }
        if not options.no_loop:
            figures["loop"] = alone(fusion_loop.loop, bags(cohort), options.dim, options.device, 1)
    show("fusion", rows_of(figures), figures, options.json)


def rows_of(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The table that is printed; ratios and the extrapolation are added to the figures."""
    size, projected, raw = figures["cohort"], figures["project"], figures["raw_bytes"]
    projected["raw_bytes_share"] = projected["bytes"] / raw
    rows = [
        *figures["machine"].items(),
        ("cohort", f"{size['patients']} patients x {size['tiles']} tiles x {size['dim']} values, {raw / 1e9:.2f} GB"),
        (
            f"project, all {N_FOLDS} folds",
            f"{projected['seconds']:.1f} s, reads {projected['raw_bytes_share']:.2f} times the features, "
            f"peak {projected['peak_mb']:.0f} MB",
        ),
    ]
    for model, found in figures["models"].items():
        for name, part in found["parts"].items():
            rows.append((f"{model}: {name}", f"{part['seconds']:.2f} s, {part['bytes'] / 1e6:.1f} MB"))
        rows.append((f"{model}: peak memory", f"{found['peak_mb']:.0f} MB"))
    if "loop" in figures:
        loop = figures["loop"]
        rows.append(("loop of the field: epoch", f"{loop['seconds']:.2f} s, peak {loop['peak_mb']:.0f} MB"))
        for model, found in figures["models"].items():
            found["epochs_per_s_over_loop"] = loop["seconds"] / found["parts"]["epoch"]["seconds"]
            rows.append((f"ratio of epochs per second, {model}", f"{found['epochs_per_s_over_loop']:.1f}"))
    if set(figures["models"]) == set(MODELS):
        figures["whole_run_hours"] = whole_run(figures)
        rows.append(
            (
                f"{FULL_PATIENTS} x {FULL_TILES} x {FULL_DIM}, default settings",
                f"{figures['whole_run_hours']:.0f} h of this machine for the image models of {N_FOLDS} folds (extrapolated)",
            )
        )
    return rows


if __name__ == "__main__":
    main()
