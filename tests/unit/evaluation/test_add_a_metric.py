"""A metric is added by one entry, as docs/extend.md says: in a copy of the library, up to the tables of the page."""

import os
import shutil
import subprocess
import sys

from running import ROOT

from histoweave.evaluation.metrics import METRICS, SHOWN

ENTRY = """
def squared(y, p, w):
    return accuracy(y, p, w) ** 2


METRICS["squared"] = Metric(
    name="squared", title="Accuracy, squared", words="squared accuracy", function=squared, compared=True
)
"""
USE = """
import numpy as np, pandas as pd
from histoweave.evaluation.evaluate import evaluate
from histoweave.evaluation.metrics import METRICS, SHOWN
from histoweave.pages.kit.tables import METRIC_TITLES
from histoweave.settings.evaluation import Evaluation
rng = np.random.default_rng(0)
parts = []
for model in ("logistic_expression", "concat"):
    p = rng.uniform(0.05, 0.95, 40)
    parts.append(pd.DataFrame({
        "model": model, "patient": [f"p{i:02d}" for i in range(40)], "repeat": 0, "fold": 0, "role": "test",
        "y_true": np.where(p + rng.normal(0, 0.3, 40) > 0.5, "b", "a"), "has_image": True, "has_expression": True,
        "p_a": 1 - p, "p_b": p}))
parts[1]["y_true"] = parts[0]["y_true"]
table = pd.concat(parts, ignore_index=True)
found = evaluate(table, patients=pd.DataFrame({"patient": parts[0]["patient"]}), classes=["a", "b"],
                 order=["logistic_expression", "concat"], modalities=["image", "expression"],
                 settings=Evaluation(bootstrap=1000), seed=0)
rows = found["metrics"].set_index(["model", "scope", "metric"])["estimate"]
assert np.isclose(rows["concat", "pooled", "squared"], rows["concat", "pooled", "accuracy"] ** 2)
assert "squared" in set(found["comparisons"]["metric"]) and "squared" in SHOWN
print(METRIC_TITLES["squared"])
"""


def test_one_entry_is_enough(tmp_path):
    library = shutil.copytree(ROOT / "workflow", tmp_path / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    module = library / "histoweave/evaluation/metrics.py"
    before, marker, after = module.read_text().partition("# As pages and comparisons show them")
    assert marker
    module.write_text(before + ENTRY + marker + after)
    environment = {**os.environ, "PYTHONPATH": str(library)}
    run = subprocess.run([sys.executable, "-c", USE], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "Accuracy, squared"


def test_what_an_entry_says_is_true():
    assert set(SHOWN) == set(METRICS) and all(name == metric.name for name, metric in METRICS.items())
    assert [name for name, metric in METRICS.items() if not metric.higher_is_better] == ["ece", "brier"]
    assert METRICS["mcc"].range(2) == (-1, 1) and METRICS["brier"].range(3) == (0, 2)
