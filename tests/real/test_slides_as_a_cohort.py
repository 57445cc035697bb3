"""Every real and awkward slide file as one cohort through the rules: each ends with a status, none ends the run."""

import pandas as pd
import yaml
from running import SHARED, needs_shared_data, snakemake

from histoweave.storage.files import read_table

pytestmark = needs_shared_data


def test_all_slide_files_go_through_as_one_cohort(tmp_path):
    folder = SHARED / "wsi_slides"
    sources = sorted(
        p for p in folder.iterdir() if p.is_dir() or p.suffix.lower() in {".svs", ".tif", ".tiff", ".ndpi", ".dcm"}
    )
    ids = [f"s{i:02d}" for i in range(len(sources))]
    pd.DataFrame({"slide": ids, "patient": ids, "path": [str(p) for p in sources]}).to_csv(
        tmp_path / "slides.tsv", sep="\t", index=False
    )
    pd.DataFrame({"patient": ids, "label": ["a" if i % 2 else "b" for i in range(len(ids))]}).to_csv(
        tmp_path / "patients.tsv", sep="\t", index=False
    )
    config = {
        "cohorts": {"files": {"patients": "patients.tsv", "slides": "slides.tsv"}},
        "features": {"encoder": "efficientnet_lite0"},
        "folds": {"n_folds": 2},
        "fusion": {"models": ["majority", "image"]},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    target = "results/files/cohort/slides.parquet"
    snakemake(target, "--cores", 2, "--configfile", "config.yaml", directory=tmp_path)
    slides = read_table(tmp_path / target)
    by_name = dict(zip([p.name for p in sources], slides["status"], strict=True))
    assert by_name["CMU-1-Small-Region.svs"] == "ok"
    assert by_name["cmu1_dicom_pyramid"] in ("ok", "odd_colours")
    assert by_name["camelyon_jpeg_dicom"] == "implausible_mpp"  # 29 µm per px: a thumbnail, not a slide
    assert by_name["patch.tif"] == "no_mpp"
    for name in ("broken.svs", "unreadable.svs", "dicom_test_image.dcm", "OS-1-detail.ome.tif"):
        assert by_name[name] == "unreadable", name
    refused = slides[slides["status"] != "ok"]
    assert refused["reason"].str.len().min() > 10 and not refused["reason"].str.contains("\n").any()
    flow = read_table(tmp_path / "results/files/cohort/flow.parquet")
    assert set("; ".join(flow.loc[flow["unit"] == "slides", "ids"]).split("; ")) - {""} == set(refused["slide"])
