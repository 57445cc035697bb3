"""Fields of red cells as bags: crops around points of a field belong to the field, and the field has a disease.

It shows the plumbing from bags to classes, and no more: fields of one disease may come from one slide and share its
stain.
"""

import numpy as np
import pandas as pd
import pytest
import yaml
from running import SHARED, needs_shared_data, snakemake

from histoweave.concepts.activations import ImageActivations
from histoweave.storage.files import read_table

pytestmark = [needs_shared_data, pytest.mark.timeout(900)]
CENTRES = [(x, y) for y in (160, 320) for x in (160, 320, 480)]


def test_fields_of_five_diseases(tmp_path):
    fields = pd.read_csv(SHARED / "chula-disease-fields/labels.csv", dtype=str)
    fields["patient"] = fields["file"].str.removesuffix(".jpg").str.replace(" ", "_")
    fields[["patient", "disease"]].to_csv(tmp_path / "patients.tsv", sep="\t", index=False)
    crops = [
        {
            "cell": f"{field.patient}.{number}",
            "path": str(SHARED / "chula-disease-fields/fields.zip"),
            "member": field.file,
            "patient": field.patient,
            "x": x,
            "y": y,
            "size_px": 80,
        }
        for field in fields.itertuples()
        for number, (x, y) in enumerate(CENTRES)
    ]
    pd.DataFrame(crops).to_csv(tmp_path / "cells.tsv", sep="\t", index=False)
    config = {
        "cohorts": {"fields": {"patients": "patients.tsv", "label": "disease", "cells": "cells.tsv"}},
        "cells": {"encoder": "efficientnet_lite0", "block": -1},
        "folds": {"n_folds": 3},
        "sae": {"expansion": 2, "k": 16, "epochs": 3, "batch_tokens": 512, "seeds": 1, "scoring": "global"},
        "evaluation": {"bootstrap": 1000},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    snakemake("concepts", "--cores", 2, "--configfile", "config.yaml", directory=tmp_path)
    root = tmp_path / "results/fields/sae/cells"

    levels = read_table(root / "scores/levels.parquet").set_index("level")
    assert levels.loc["image", "status"] == "not_scored" and levels.loc["patient", "status"] == "scored"
    metrics = read_table(root / "scores/metrics.parquet")
    of_concepts = metrics[(metrics["representation"] == "concepts") & (metrics["scope"] == "pooled")]
    score = of_concepts.set_index("metric").loc["balanced_accuracy"]
    assert score["n_patients"] == len(fields) and score["ci_low"] > 0.2  # of five classes
    assert set(metrics["dictionary"]) == {"global"}

    activations = ImageActivations.load(root / "on/fields/activations.h5")
    images = read_table(root / "images.parquet").set_index("image").loc[activations.images]
    vectors = read_table(root / "on/fields/patients.parquet")
    bag = images["patient"].iloc[0]
    mean = activations.mean[np.flatnonzero(images["patient"] == bag)].toarray().mean(axis=0)
    own = vectors[vectors["patient"] == bag].set_index("concept")["mean"]
    np.testing.assert_allclose(mean[own.index], own, rtol=1e-5)
    assert (vectors["n_images"] == len(CENTRES)).all() and np.count_nonzero(mean) == len(own)
