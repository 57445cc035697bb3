"""Simulated blood cells: what is drawn is what the table says, in either laboratory."""

from __future__ import annotations

import time
import zipfile

import numpy as np
import pandas as pd
import pytest
from running import ROOT
from sklearn.metrics import roc_auc_score

from histoweave.cells.pictures import PictureReader, Place
from histoweave.cells.table import read_cells
from histoweave.errors import InputError
from histoweave.settings.cohorts import SimulateCells
from histoweave.simulate.cell_tables import LEUKAEMIA, cell_tables, cell_type, write_tables
from histoweave.simulate.cells import ATTRIBUTES, draw_cell, write_cells

PLAIN = {"size": "big", "lobes": "1", "granules": "none", "colour": "blue"}
DEMO = ROOT / "config" / "demo"


def draw(cell="c1", laboratory="a", seed=7, **changes) -> np.ndarray:
    return draw_cell(cell=cell, laboratory=laboratory, seed=seed, **PLAIN | changes)


def measure(picture: np.ndarray) -> dict[str, float]:
    """Nucleus area in px (dark red channel), and redness of the whole."""
    picture = picture.astype(float)
    return {
        "nucleus": float((picture[..., 0] < 110).sum()),
        "red": float((picture[..., 0] - picture[..., 2]).mean()),
        "orange": float(((picture[..., 0] > 140) & (picture[..., 2] < 110)).sum()),
    }


def mean_of(name, laboratory="a", **changes) -> float:
    return float(np.mean([measure(draw(f"c{n}", laboratory, **changes))[name] for n in range(8)]))


def test_equal_arguments_give_equal_pixels_and_all_else_others():
    picture = draw()
    assert picture.shape == (160, 160, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, draw())
    for other in (
        draw("c2"),
        draw(seed=8),
        draw(laboratory="b"),
        *(draw(**{k: v[-1 if v[0] == PLAIN[k] else 0]}) for k, v in ATTRIBUTES.items()),
    ):
        assert (other != picture).any()


@pytest.mark.parametrize("laboratory", ["a", "b"])
def test_attributes_show(laboratory):
    assert mean_of("nucleus", laboratory, size="big") > 1.4 * mean_of("nucleus", laboratory, size="small")
    assert mean_of("red", laboratory, colour="pink") > mean_of("red", laboratory, colour="blue") + 2
    for granules in ("none", "fine"):
        assert (
            mean_of("orange", "a", lobes="2", granules="coarse")
            > mean_of("orange", "a", lobes="2", granules=granules) + 50
        )
    pieces = [mean_of("nucleus", laboratory, lobes=lobes) for lobes in ("1", "2", "3")]
    assert pieces == sorted(pieces, reverse=True)


def test_the_laboratories_differ_in_background():
    corner = [np.median(draw(laboratory=lab)[:, :6].reshape(-1, 3), axis=0) for lab in "ab"]
    assert corner[0][2] - corner[1][2] > 20  # laboratory b is yellow


def test_an_attribute_that_cannot_be_drawn():
    with pytest.raises(
        InputError, match=r"size 'bg' of cell 'c1' cannot be drawn \(did you mean 'big'\?\); use small, big"
    ):
        draw(size="bg")


def test_the_archive_is_read_back_and_has_the_same_bytes_again(tmp_path):
    table = cell_tables("b")[0].head(6)
    for name in ("one.zip", "two.zip"):
        write_cells(tmp_path / name, cells=table, settings=SimulateCells(laboratory="b"))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == table["member"].to_list()
    first = table.iloc[0]
    drawn = draw_cell(cell=first["cell"], laboratory="b", seed=7, **first[list(ATTRIBUTES)])
    with PictureReader(edge_px=160, crop=1.0) as reader:
        read = reader.read(Place(str(tmp_path / "one.zip"), first["member"]))
    assert np.abs(read.astype(int) - drawn).mean() < 6


def test_two_hundred_cells_a_second():
    draw()
    started = time.process_time()
    for number in range(40):
        draw(f"c{number}", granules="fine", lobes="4")
    assert 40 / (time.process_time() - started) > 100  # 260 on an idle core


def test_the_committed_tables_are_those_of_the_code(tmp_path):
    write_tables(tmp_path)
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (DEMO / file.name).read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(("laboratory", "n_patients"), [("a", 24), ("b", 12)])
def test_cohorts(laboratory, n_patients):
    cells = read_cells(
        str(DEMO / f"lab_{laboratory}_cells.tsv"), attributes=list(ATTRIBUTES), check_paths=False,
    )  # fmt: skip
    patients = pd.read_csv(DEMO / f"lab_{laboratory}_patients.tsv", sep="\t")
    assert len(patients) == n_patients and len(cells) == 20 * n_patients
    assert (cells.groupby("patient").size() == 20).all()
    assert patients["label"].value_counts().nunique() == 1
    for column, values in ATTRIBUTES.items():
        assert set(cells[column]) == set(values)
    kinds = [cell_type(size=c.size, lobes=c.lobes, granules=c.granules) for c in cells[["size", "lobes", "granules"]].itertuples(index=False, name="C")]  # fmt: skip
    assert cells["label"].to_list() == kinds
    assert cells["label"].value_counts().min() >= 10
    blasts = (cells["label"] == "blast").groupby(cells["patient"]).mean()
    sick = patients.set_index("patient")["label"].loc[blasts.index] == LEUKAEMIA
    assert 0.85 < roc_auc_score(sick, blasts) < 0.99
