import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.current_basedir).parent / "workflow"))

from histoweave import wiring
from histoweave.errors import InputError
from histoweave.fingerprint import code_hash

# Without --configfile the demo is meant, so that `snakemake -n` works in a fresh clone.
if not config:

    configfile: workflow.source_path("../config/demo/config.yaml")


wiring.lend_library_to_jobs()
try:
    CONFIG, TABLES = wiring.load(config)
    WIRING = wiring.Wiring(CONFIG, TABLES)
except InputError as error:
    sys.exit(f"error: {error}")


# Jobs read this file too; only the run itself looks whether the shards' indexes still tell the truth.
if workflow.is_main_process and (LOST := WIRING.drop_untrue_indexes()):
    print(
        f"{len(LOST)} slides have changed or lost files since they were done, first '{LOST[0]}': made again",
        file=sys.stderr,
    )


wildcard_constraints:
    cohort="|".join(TABLES),
    arm="fusion|control",
    model="[a-z_]+",
    k=r"\d+",
    shard=r"\d+-of-\d+",
    form="anndata|clam|stamp",
    slide="[A-Za-z0-9._-]+",
    encoder="[A-Za-z0-9._-]+",


onerror:
    print(
        "A job failed. Its log is named above; all logs lie in results/<cohort>/logs/.",
        file=sys.stderr,
    )
