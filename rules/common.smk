import os
import sys
from pathlib import Path

LIBRARY = str(Path(workflow.current_basedir).parent / "workflow")
# Jobs import the library from this checkout, in whichever environment they run.
sys.path.insert(0, LIBRARY)
os.environ["PYTHONPATH"] = LIBRARY

from histoweave import wiring
from histoweave.errors import InputError
from histoweave.fingerprint import code_hash

try:
    CONFIG, TABLES = wiring.load(config)
    WIRING = wiring.Wiring(CONFIG, TABLES)
except InputError as error:
    sys.exit(f"error: {error}")


wildcard_constraints:
    cohort="|".join(TABLES),
    arm="fusion|control",
    model="[a-z_]+",
    k=r"\d+",
    slide="[A-Za-z0-9._-]+",
    encoder="[A-Za-z0-9._-]+",


onerror:
    print("A job failed. Its log is named above; all logs lie in results/<cohort>/logs/.", file=sys.stderr)
