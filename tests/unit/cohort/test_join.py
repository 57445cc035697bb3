"""The join on a hand-made cohort: who has what, and a flow table that accounts for everyone."""

import h5py
import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from histoweave.cohort import join as cohort
from histoweave.cohort.join import join, judge_samples, run_cohort, slide_status
from histoweave.storage.files import read_table
from histoweave.tabular.reading import Reading


def patients(labels):
    return pd.DataFrame(
        {
            "patient": [f"p{i}" for i in range(len(labels))],
            "label": [label or None for label in labels],
            "site": "s",
            "label_source": [label or "" for label in labels],
            "age": range(len(labels)),
        }
    )


def slide_rows(rows):
    table = pd.DataFrame(rows, columns=["slide", "patient", "status"])
    return table.assign(stage=np.where(table["status"] == "ok", "", "tiles"))


def sample_rows(rows):
    return pd.DataFrame(rows, columns=["sample", "patient", "kept", "reason"])


def test_join_and_flow_of_a_known_cohort():
    table = patients(["a", "b", "a", "", "b"])
    table.loc[4, ["label", "label_source"]] = [None, "x"]  # dropped by label_map
    slides = slide_rows(
        [("s0", "p0", "ok"), ("s0b", "p0", "no_tissue"), ("s1", "p1", "unreadable"), ("s4", "p4", "ok")]
    )
    samples = sample_rows(
        [("r0", "p0", True, ""), ("r1", "p1", True, ""), ("r2", "p9", False, "not in the patients table")]
    )
    joined, flow = join(table, slides, samples, modalities={"image", "expression"})
    joined = joined.set_index("patient")
    assert joined["included"].to_dict() == {"p0": True, "p1": True, "p2": False, "p3": False, "p4": False}
    assert joined["complete"].to_dict() == {"p0": True, "p1": False, "p2": False, "p3": False, "p4": False}
    assert joined["reason"].to_dict() == {
        "p0": "", "p1": "", "p2": "no usable slide and no RNA", "p3": "no label", "p4": "label dropped by label_map",
    }  # fmt: skip
    assert list(joined["n_slides"]) == [1, 0, 0, 0, 1] and list(joined["age"]) == [0, 1, 2, 3, 4]
    lost = flow[flow["n_lost"] > 0].set_index(["step", "reason"])["ids"].to_dict()
    assert lost == {
        ("tiles", "no_tissue"): "s0b",
        ("tiles", "unreadable"): "s1",
        ("expression", "not in the patients table"): "r2",
        ("label", "label dropped by label_map"): "p4",
        ("label", "no label"): "p3",
        ("any modality", "no usable slide and no RNA"): "p2",
        ("complete: image", "no usable slide"): "p1",
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", ""]), st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_the_flow_accounts_for_everyone(rows):
    table = patients([label for label, _, _ in rows])
    slides = slide_rows([(f"s{i}", f"p{i}", "ok" if has else "no_mpp") for i, (_, has, _) in enumerate(rows)])
    samples = sample_rows([(f"r{i}", f"p{i}", has, "" if has else "why") for i, (_, _, has) in enumerate(rows)])
    joined, flow = join(table, slides, samples, modalities={"image", "expression"})
    assert (flow["n_in"] - flow["n_lost"] == flow["n_out"]).all()
    assert (flow["ids"].map(lambda ids: len([i for i in ids.split("; ") if i])) == flow["n_lost"]).all()
    people = flow[flow["unit"] == "patients"]
    assert (
        people["n_in"].iloc[0] == len(rows) and (people["n_in"].iloc[1:].to_numpy() == people["n_out"].iloc[:-1]).all()
    )
    assert people["n_out"].iloc[-1] == (joined["included"] & joined["complete"]).sum()
    assert ((joined["reason"] == "") == joined["included"]).all()


def test_cohort_without_rna_or_without_slides():
    table = patients(["a", "b"])
    slides = slide_rows([("s0", "p0", "ok")])
    joined, flow = join(table, slides, None, modalities={"image"})
    assert list(joined["complete"]) == [True, False] and "expression" not in set(flow["step"])
    none = slide_rows([])
    joined, flow = join(table, none, sample_rows([("r", "p1", True, "")]), modalities={"expression"})
    assert list(joined["complete"]) == [False, True] and "tiles" not in set(flow["step"])


SCANNER = {"scanner_vendor": "leica", "scanner_model": "SCN400", "objective_power": 20.0}


def test_slide_status_is_read_from_the_artefacts(tmp_path):
    def write(name, dataset, status, reason, rows):
        with h5py.File(tmp_path / name, "w") as file:
            file.attrs.update({"status": status, "reason": reason, "features_sha256": "abc"})
            file.create_dataset(dataset, data=np.zeros((rows, 2)))
            if dataset == "features":
                file.create_dataset("failed_coords", data=np.zeros((1, 2)))
                file["features"].attrs.update({"encoder": "e", "weights_sha256": "0"})
            else:
                file["coords"].attrs.update({"level0_mpp": 0.25, "mpp_source": "override", **SCANNER})
        return str(tmp_path / name)

    slides = pd.DataFrame({"slide": ["b", "a", "c"], "patient": "p", "path": "x"})
    states = {"a": ("ok", "ok"), "b": ("no_tissue", "no_tissue"), "c": ("ok", "unreadable_tiles")}
    tiles = {s: write(f"t{s}.h5", "coords", t, "", 3) for s, (t, _) in states.items()}
    features = {
        s: write(f"f{s}.h5", "features", f, "why" if f != "ok" else "", 3 if f == "ok" else 0)
        for s, (_, f) in states.items()
    }
    table = slide_status(slides, tiles=tiles, features=features)
    assert table["slide"].tolist() == ["a", "b", "c"] and table["stage"].tolist() == ["", "tiles", "features"]
    assert table["n_tiles"].tolist() == [3, 0, 0] and table["reason"].tolist() == ["", "why", "why"]
    assert (table[list(SCANNER)] == list(SCANNER.values())).all(axis=None)
    assert (table["level0_mpp"] == 0.25).all() and (table["n_failed_tiles"] == 1).all()
    assert slide_status(slides.iloc[:0], tiles={}, features={}).empty


def test_tcga_slides_of_no_primary_tumour_are_lost_with_a_reason():
    """The rule of the RNA samples: sample type 01 only, by the slide's id or the names of its files."""
    p0, p1 = "TCGA-A2-A04R", "TCGA-BH-A1ES"
    rows = [
        (f"{p0}-01Z-00-DX1", p0, "slides/x.svs", "", "ok", ""),
        (f"{p0}-11A-01-TS1", p0, "slides/x.svs", "", "not_primary_tumour", "sample type 11 is not a primary tumour"),
        ("s3", p1, f"slides/{p1}-06A-01-BS1.b3e0.svs", "", "not_primary_tumour", "sample type 06"),
        ("s4", p1, "", f"features/{p1.lower()}-11a-01-ts1.h5", "not_primary_tumour", "sample type 11"),
        ("s5", p1, f"slides/{p0}-01Z-00-DX1.svs", "", "other_patient", "another patient's barcode"),
        (f"{p1}-tiles", p1, f"{p1}-20x.svs", "", "ok", ""),
        (f"{p1.replace('-', '.')}.01A.01.TS1", p1, "x.svs", "", "ok", ""),
        ("s8", p1, f"{p1}-11A-01-TS1/x.svs", "", "ok", ""),  # a folder's name says nothing of the file
    ]
    slides = pd.DataFrame(rows, columns=["slide", "patient", "path", "features", "status", "reason"])
    status = judge_samples(slides.assign(status="ok", reason="", stage=""), slides)
    assert list(status["status"]) == list(slides["status"])
    assert all(given in found for given, found in zip(slides["reason"], status["reason"], strict=True))
    table = patients(["a", "b"]).assign(patient=[p0, p1])
    joined, flow = join(table, status, None, modalities={"image"})
    assert p0 not in status["reason"].iloc[4]  # it may be in no table, where pseudonyms would not reach it
    assert list(joined["n_slides"]) == [1, 3]
    lost = flow[flow["step"] == "sample"].set_index("reason")
    assert lost["n_lost"].to_dict() == {"not_primary_tumour": 3, "other_patient": 1}
    assert "s3; s4" in lost.loc["not_primary_tumour", "ids"] and flow["n_out"].iloc[1] == len(rows) - 4


def test_barcodes_have_a_say_in_tcga_cohorts_only(tmp_path, monkeypatch):
    monkeypatch.setattr(cohort, "slide_status", lambda slides, **_: slides.assign(status="ok", reason="", stage=""))
    slides = pd.DataFrame({"slide": ["TCGA-A2-A04R-11A-01-TS1"], "patient": ["p0"], "path": ["x.svs"]})
    out = {name: tmp_path / f"{name}.parquet" for name in ("patients", "slides", "flow", "read")}
    said = Reading("patients.tsv", "text", 1, 2, first_id="p0", last_id="p0", table="patients")
    for tcga, status in ((True, "other_patient"), (False, "ok")):
        run_cohort(
            patients(["a"]), slides, samples=None, tiles={}, features={}, modalities={"image"}, tcga=tcga, readings=[said],
            out=out,
        )  # fmt: skip
        assert read_table(out["read"]).to_dict("records") == [said.to_dict()]
        assert list(read_table(out["slides"])["status"]) == [status]
        assert list(read_table(out["patients"])["has_image"]) == [not tcga]
