"""Fit on one cohort, apply to another: mixOmics' breast.TCGA, 150 patients to 70, three subtypes, no PAM50 gene."""

import pandas as pd
import pytest
from running import SHARED, needs_shared_data
from sklearn.model_selection import train_test_split

from histoweave.fusion.fit import fit
from histoweave.fusion.patients import PatientSet
from histoweave.settings.fusion import Fusion

pytestmark = needs_shared_data
CLASSES = ["Basal", "Her2", "LumA"]
NO_SLIDES = pd.DataFrame(columns=["slide", "patient", "status", "features"])


def read(part):
    folder = SHARED / "mixomics_breast_tcga"
    rna = pd.read_csv(folder / f"data.{part}.mrna.csv.gz", float_precision="round_trip")
    labels = pd.read_csv(folder / f"data.{part}.subtype.csv")
    assert (rna["sample"] == labels["sample"]).all()
    patients = pd.DataFrame(
        {
            "patient": labels["sample"], "label": labels["subtype"], "site": "x", "n_slides": 0, "has_image": False,
            "has_expression": True, "complete": True, "included": True,
        }
    )  # fmt: skip
    return PatientSet.of(
        patients, slides=NO_SLIDES, expression=rna.rename(columns={"sample": "patient"}), classes=CLASSES
    )


@pytest.mark.parametrize("model", ["logistic_expression", "expression"])
def test_a_model_of_150_patients_holds_on_70_others(model):
    known, new = read("train"), read("test")
    train, val = train_test_split(known.ids, test_size=0.2, stratify=known.codes, random_state=1)
    fitted, _ = fit(
        model,
        train_patients=known.subset(sorted(train)),
        val_patients=known.subset(sorted(val)),
        classes=CLASSES,
        settings=Fusion(),
        seed=1,
        device="cpu",
        needs={},
    )
    values, _ = fitted.predict(fitted.batcher(new), image_of=new.ids, expression_of=new.ids)
    assert len(new.ids) == 70 and (values.argmax(axis=1) == new.codes).mean() >= 0.95
