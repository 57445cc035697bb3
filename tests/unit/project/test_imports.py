"""Which packages that take long the script of each rule imports before it does anything: a table.

What only some calls need is imported inside the function that needs it. CPU seconds of one import (Intel Xeon, one thread):
torch 1.0, its compiler (torch._dynamo, sympy) 1.0, sklearn with scipy.stats 0.6, scipy.stats alone 0.4, matplotlib 0.2.
"""

import ast
import json
import re

import pytest
from fresh_process import printed
from running import ROOT

HEAVY = {
    "anndata", "captum", "cv2", "matplotlib", "openslide", "plotly", "scipy.optimize", "scipy.stats", "shapely", "sklearn",
    "sympy", "timm", "torch", "torch._dynamo", "torch._inductor", "torchvision",
}  # fmt: skip
# timm imports torchvision, and torchvision the compiler.
_ENCODER = "timm torchvision torch torch._dynamo torch._inductor sympy"
# Captum imports matplotlib.
_CAPTUM = "captum matplotlib torch scipy.optimize scipy.stats"
# A script that is not named imports none of them.
MAY_IMPORT = {
    "applied_report": "matplotlib",
    "apply_bundle": "torch",
    "bundle": "torch",
    "compare_with_bundle": "torch",
    "concept_report": "cv2 matplotlib torch",
    "concepts_json": "cv2 torch",
    "control_network": "torch",
    "control_reference": "torch",
    "decide": "scipy.optimize",
    "describe_concepts": "scipy.optimize scipy.stats",
    "embed_cells": f"cv2 {_ENCODER}",
    "encode_concepts": "torch",
    "explain_concepts": "torch",
    "explain_fold": _CAPTUM,
    "explain_morphology": "cv2",
    "explain_slides": "cv2 matplotlib openslide shapely",
    "export_slides": "openslide",
    "extract_features": f"cv2 openslide shapely {_ENCODER}",
    "fit_sae": "torch",
    "fit_sae_fold": "torch",
    "fusion_fold": "torch",
    "learning_fold": "torch",
    "report": "cv2 matplotlib plotly",
    "sae_stability": "scipy.optimize torch",
    "score_concepts": "sklearn scipy.optimize scipy.stats torch",
    "simulate_cells": "cv2",
    "simulate_slides": "cv2",
    "site_fold": "torch",
    "tile_slides": "cv2 openslide shapely",
    "transfer_concepts": "sklearn scipy.optimize scipy.stats torch",
}
SCRIPTS = {path.stem: path.read_text() for path in sorted((ROOT / "workflow/scripts").glob("*.py"))}
# Each in a fork of one process that has imported what all need, and then torch: 48 starts would take a minute.
PROGRAM = """
import json, os, sys, traceback
import gc, h5py, pandas, pyarrow.parquet, pydantic, scipy.sparse
gc.disable()

def heavy(code):
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        try:
            exec(code, {})
            os.write(sink, " ".join(HEAVY & set(sys.modules)).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(sink)
    with open(source) as words:
        found = words.read().split()
    assert os.waitpid(child, 0)[1] == 0, code
    return found

found = {name: heavy(code) for name, code in WITHOUT_TORCH.items()}
import torch
found |= {name: heavy(code) for name, code in WITH_TORCH.items()}
print(json.dumps(found))
"""


def imports_of(script):
    """The import statements of a script, wherever they stand, as one program."""
    statements = [node for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(map(ast.unparse, statements))


@pytest.fixture(scope="module")
def imported():
    """By script, and of `rules`, which every start of Snakemake reads: what is imported of `HEAVY`."""
    rules = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    codes = {name: imports_of(script) for name, script in SCRIPTS.items()}
    codes["rules"] = "\n".join(re.findall(r"^(?:from \S+ import \([^)]*\)|(?:from|import) .*)", rules, re.M))
    with_torch = {name for name, packages in MAY_IMPORT.items() if "torch" in packages.split()}
    parts = {
        "HEAVY": HEAVY,
        "WITHOUT_TORCH": {name: code for name, code in codes.items() if name not in with_torch},
        "WITH_TORCH": {name: code for name, code in codes.items() if name in with_torch},
    }
    assert set(MAY_IMPORT) <= set(codes)
    return json.loads(printed("\n".join(f"{name} = {part!r}" for name, part in parts.items()) + PROGRAM))


@pytest.mark.parametrize("name", [*SCRIPTS, "rules"])
def test_a_job_imports_what_it_uses(name, imported):
    assert set(imported[name]) <= set(MAY_IMPORT.get(name, "").split())
