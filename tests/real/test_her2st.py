"""Whole-section pictures of a spatial data set as slides: no resolution in the file, so the physical size is stated."""

import pandas as pd
import pytest
import yaml
from running import SHARED, needs_shared_data, snakemake

from histoweave.storage.files import read_table

pytestmark = needs_shared_data
# µm per px as HEST-1k estimates them; those of the other pictures are nominal, the slide states its own.
SECTIONS = {"C2": 0.696, "C3": 0.669, "C4": 0.690, "C5": 0.691}
OTHERS = {
    "t1": ("he_images/histoqc/template1.png", 1.0), "t2": ("he_images/histoqc/template2.png", 1.0),
    "t3": ("he_images/histoqc/template3.png", 1.0), "cmu": ("wsi_slides/CMU-1-Small-Region.svs", None),
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Four sections of one tumour and four pictures from elsewhere, with concepts of their tiles."""
    folder = tmp_path_factory.mktemp("her2st")
    rows = [(name, next((SHARED / "her2st" / name).glob("*.jpg")), mpp, "section") for name, mpp in SECTIONS.items()]
    rows += [(name, SHARED / path, mpp, "other") for name, (path, mpp) in OTHERS.items()]
    table = pd.DataFrame(rows, columns=["slide", "path", "mpp", "label"]).assign(patient=lambda t: t["slide"])
    table[["slide", "patient", "path", "mpp"]].to_csv(folder / "slides.tsv", sep="\t", index=False)
    table[["patient", "label"]].to_csv(folder / "patients.tsv", sep="\t", index=False)
    config = {
        "cohorts": {"her2st": {"patients": "patients.tsv", "slides": "slides.tsv"}},
        "tiles": {"target_mpp": 1.0},
        "features": {"encoder": "efficientnet_lite0"},
        "folds": {"n_folds": 2},
        "fusion": {"models": ["majority"]},
        "sae": {"source": "tiles", "expansion": 2, "k": 8, "epochs": 10, "batch_tokens": 256, "seeds": 2}
        | {"scoring": "global"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    snakemake("concepts", "--cores", 2, "--configfile", "config.yaml", directory=folder)
    return folder / "results/her2st"


def test_stated_sizes_make_tiles_of_the_sections(run):
    slides = read_table(run / "cohort/slides.parquet").set_index("slide").loc[list(SECTIONS)]
    assert (slides["status"] == "ok").all() and set(slides["mpp_source"]) == {"override"}
    assert slides["level0_mpp"].to_dict() == SECTIONS
    # A tile is 224 µm wide; the tissue of a section fills less than a third of 9,270 x 9,900 px.
    um2 = slides["n_tiles"] * 224**2
    assert (um2 > 3e6).all() and (um2 < 9270 * 9900 * 0.7**2).all()


def test_concepts_of_the_sections_are_shown(run):
    concepts = read_table(run / "sae/tiles/on/her2st/concepts.parquet")
    assert (concepts["firing_rate"] > 0).sum() > 100
    shown = read_table(run / "sae/tiles/on/her2st/top_images.parquet")
    assert set(SECTIONS) <= set(shown["image"])
    page = (run / "concepts.html").read_text()
    assert "C2" in page and "data:image/" in page
