import contextlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.current_basedir).parent / "workflow"))

from histoweave.errors import InputError
from histoweave.expression.size import memory_mb
from histoweave.fusion import catalog
from histoweave.storage.files import check_writable
from histoweave.wiring import paths, planning
from histoweave.wiring.apply import ApplyWiring
from histoweave.wiring.cells import CellWiring, check_cells
from histoweave.wiring.concepts import ConceptsWiring
from histoweave.wiring.confounding import ConfoundingWiring
from histoweave.wiring.control import ControlWiring
from histoweave.wiring.decide import DecideWiring
from histoweave.wiring.explain import ExplainWiring
from histoweave.wiring.fingerprint import code_hash
from histoweave.wiring.functions import (
    by_wildcards,
    kept_if,
    memory,
    memory_of,
    minutes,
    model_code,
)
from histoweave.wiring.privacy import check_columns, privacy_params
from histoweave.wiring.provenance import ProvenanceWiring
from histoweave.wiring.report import ReportWiring
from histoweave.wiring.run import lend_library_to_jobs, load
from histoweave.wiring.scheduling import start_jobs_without_delay
from histoweave.wiring.simulate import SimulateWiring
from histoweave.wiring.sites import SiteWiring
from histoweave.wiring.tissue import Wiring
from histoweave.wiring.validation import check_training

# Without --configfile the demo is meant, so that `snakemake -n` works in a fresh clone.
if not config:

    configfile: workflow.source_path("../config/demo/config.yaml")


lend_library_to_jobs()
# Jobs read this file too; only the run itself looks at folders and slides.
UNTRUE = {}
try:
    if workflow.is_main_process:
        check_writable(".snakemake")
    CONFIG, TABLES = load(config, check_paths=workflow.is_main_process)
    PRIVACY = privacy_params(CONFIG.privacy, required=workflow.is_main_process)
    WIRING = Wiring(CONFIG, TABLES)
    SIMULATE = SimulateWiring(WIRING)
    CONTROL = ControlWiring(CONFIG, WIRING)
    DECIDE = DecideWiring(CONFIG, WIRING)
    SITES = SiteWiring(CONFIG, WIRING)
    CONFOUNDING = ConfoundingWiring(CONFIG, WIRING, SITES)
    CELLS = CellWiring(
        CONFIG,
        check_cells(CONFIG, check_paths=workflow.is_main_process),
        {name: WIRING.feature_indexes(name) for name in TABLES},
    )
    CONCEPTS = ConceptsWiring(CELLS)
    check_columns(CONFIG.privacy, TABLES, CELLS)
    EXPLAIN = ExplainWiring(WIRING, CELLS)
    APPLY = ApplyWiring(CONFIG, WIRING)
    REPORT = ReportWiring(WIRING, EXPLAIN, DECIDE, CELLS, APPLY)
    if workflow.is_main_process:
        UNTRUE = WIRING.untrue_indexes() | CELLS.untrue_shards()
        with contextlib.suppress(
            InputError
        ):  # without models that can be fitted nothing is explained
            UNTRUE |= EXPLAIN.untrue_indexes()
except InputError as error:
    sys.exit(f"error: {error}")


if UNTRUE:
    LOST = list(dict.fromkeys(slide for slides in UNTRUE.values() for slide in slides))
    print(
        f"{len(LOST)} slides or pictures have changed or lost files since they were processed, or cannot be used in a run "
        f"with on_error: stop, first '{LOST[0]}': they will be processed again",
        file=sys.stderr,
    )

# What is computed again; every chain of jobs begins with a rule that asks it.
PLAN = planning.Plan(
    workflow,
    untrue=UNTRUE,
    settings=planning.settings_of(
        CONFIG,
        privacy=PRIVACY,
        code={"tissue": WIRING.code_of_stages(), "cells": CELLS.code_of_stages()},
    ),
    cohorts=CONFIG.cohorts,
    check=lambda: check_writable(*WIRING.folders(), *CELLS.folders()),
)
# What fitting and applying models need, and `prepare` does not.
FITTING = planning.Guard(
    lambda: check_training(CONFIG, TABLES),
    EXPLAIN.check,
    APPLY.check,
    active=workflow.is_main_process,
)


wildcard_constraints:
    cohort="|".join(CONFIG.cohorts),
    target="|".join(CONFIG.cohorts),
    trained=APPLY.trained_pattern(),
    source="cells|tiles",
    arm="fusion",
    model="[a-z_]+",
    k=r"\d+",
    n=r"\d+",
    shard=r"\d+-of-\d+",
    form="anndata|clam|stamp",
    slide="[A-Za-z0-9._-]+",
    encoder="[A-Za-z0-9._-]+",


# Before the first job; a dry run and a run that has nothing to do need not write.
onstart:
    start_jobs_without_delay(workflow)
    try:
        PLAN.begin()
    except InputError as error:
        sys.exit(f"error: {error}")


onsuccess:
    PLAN.end()
    for page in PLAN.pages():
        print(f"Page to read: {page}", file=sys.stderr)


onerror:
    print(
        "A job failed. Its log is named above; all logs lie in results/<cohort>/logs/.",
        file=sys.stderr,
    )
