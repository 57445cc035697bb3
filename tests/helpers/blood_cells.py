"""Cells tables of the real data sets of single blood cells, as a user would write them."""

import pandas as pd
import yaml
from running import SHARED

ATTRIBUTES = ["nuclear_cytoplasmic_ratio", "granularity", "cell_size", "nucleus_shape"]
# The five types that all three laboratories know; other cells are fitted on, not scored.
TYPES = {
    "basophil": "basophil", "eosinophil": "eosinophil", "lymphocyte": "lymphocyte", "monocyte": "monocyte",
    "neutrophil": "neutrophil", "neutrophil_band": "neutrophil", "neutrophil_segmented": "neutrophil",
}  # fmt: skip
# The cell fills about 40 % of Acevedo's pictures and 70 % of Tecom's; a BCCD box is the cell itself.
ACEVEDO_CROP = 0.57
BCCD_MARGIN = 1.4


def acevedo():
    """874 cells of 13 classes, 454 of them with expert attributes."""
    labels = pd.read_csv(SHARED / "acevedo-pbc/labels.csv", dtype=str, keep_default_na=False)
    return pd.DataFrame(
        {
            "cell": labels["file"].str.split("/").str[1].str.removesuffix(".jpg"),
            "path": str(SHARED / "acevedo-pbc/images.zip"),
            "member": labels["file"],
            "label": labels["class13"].map(TYPES).fillna(""),
            **{name: labels[name] for name in ATTRIBUTES},
        }
    )


def tecom():
    """300 white cells of another laboratory and a rapid stain; its single basophil is too few to be scored."""
    labels = pd.read_csv(SHARED / "wbc-tecom/labels.csv", dtype=str)
    return pd.DataFrame(
        {
            "cell": "T" + labels["file"].str.extract(r"(\d+)")[0],
            "path": str(SHARED / "wbc-tecom/cells.zip"),
            "member": labels["file"],
            "label": labels["class"],
        }
    )


def bccd():
    """White cells cut out of the smear fields of a third laboratory; labelled where a field has one of them."""
    boxes = pd.read_csv(SHARED / "bccd/boxes.csv").query("`class` == 'WBC'").reset_index(drop=True)
    of_field = pd.read_csv(SHARED / "bccd/wbc_labels.csv").query("n_wbc_boxes == 1").set_index("file")["wbc_class"]
    known = boxes["file"].map(of_field)
    edge_px = (boxes[["xmax", "ymax"]].to_numpy() - boxes[["xmin", "ymin"]].to_numpy()).max(axis=1)
    return pd.DataFrame(
        {
            "cell": [f"B{row:03d}" for row in boxes.index],
            "path": str(SHARED / "bccd/fields.zip"),
            "member": boxes["file"],
            "x": (boxes["xmin"] + boxes["xmax"]) / 2,
            "y": (boxes["ymin"] + boxes["ymax"]) / 2,
            "size_px": BCCD_MARGIN * edge_px,
            "label": known.where(known.isin(set(TYPES.values())), ""),
        }
    )


def write_cohort(folder, *, crop=ACEVEDO_CROP, **changes):
    """Tables and configuration of the three laboratories in `folder`; `changes` are further sections of the config."""
    for name, table in (("acevedo", acevedo()), ("tecom", tecom()), ("bccd", bccd())):
        table.to_csv(folder / f"{name}.tsv", sep="\t", index=False)
    config = {
        "cohorts": {
            "acevedo": {"cells": {"table": "acevedo.tsv", "crop": crop, "attributes": ATTRIBUTES}},
            "tecom": {"role": "external", "cells": "tecom.tsv"},
            "bccd": {"role": "external", "cells": "bccd.tsv"},
        },
        "cells": {"encoder": "efficientnet_lite0", "block": -2},
        "sae": {"variant": "batchtopk", "expansion": 16, "k": 32, "epochs": 3, "batch_tokens": 512, "seeds": 2},
        "evaluation": {"bootstrap": 1000},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config | changes))
