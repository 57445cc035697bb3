"""The user's table of cells, and folders of embeddings made elsewhere."""

from __future__ import annotations

import time

import h5py
import numpy as np
import pandas as pd
import pytest

from histoweave.cells.given import embedding_files
from histoweave.cells.table import BOX, read_cells
from histoweave.errors import InputError
from histoweave.settings.cohorts import CellInput


def write(folder, text, name="cells.csv"):
    file = folder / name
    file.write_text(text.replace(" ", ""))
    return str(file)


def test_everything_at_once(tmp_path):
    (tmp_path / "fields.zip").write_bytes(b"")
    text = f"""cell,path,member,xmin,ymin,xmax,ymax,x,y,size_px,patient,label,shape
    a,{tmp_path}/a.png,,,,,,,,,p1,blast,round
    b,{tmp_path}/fields.zip,f1.jpg,1,2,11,30,,,,p2,,
    c,{tmp_path}/fields.zip,f1.jpg,,,,,5,7.5,10,p1,mono,
    """
    cells = read_cells(write(tmp_path, text), attributes=["shape"], patients=["p1", "p2", "p3"])
    assert list(cells) == ["cell", "patient", "path", "member", *BOX, "label", "shape"]
    assert cells["patient"].to_list() == ["p1", "p2", "p1"]
    assert cells["member"].to_list() == ["", "f1.jpg", "f1.jpg"]
    assert cells["label"].to_list() == ["blast", None, "mono"]
    assert cells["shape"].to_list() == ["round", None, None]
    expected = [[np.nan] * 4, [1, 2, 11, 30], [0, 2.5, 10, 12.5]]
    np.testing.assert_array_equal(cells[BOX].to_numpy(), expected)


def test_without_patients_every_cell_is_its_own(tmp_path):
    cells = read_cells(write(tmp_path, f"cell,path\na,{tmp_path}/1.png\nb,{tmp_path}/2.png\n"))
    assert cells["patient"].to_list() == ["a", "b"]
    assert cells["label"].isna().all() and cells[BOX].isna().all(axis=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cell,file\na,HERE/1.png\n", "column 'path' is missing"),
        ("cell,path\na,HERE/1.png\na,HERE/2.png\n", "row 3: cell 'a' is a duplicate id"),
        ("cell,path\n../a,HERE/1.png\n", "row 2: cell '../a' is not a valid id"),
        ("cell,path\na,\n", "row 2: column 'path' is empty"),
        ("cell,path\na,HERE/1.png\nb,HERE/none/1.png\n", "row 3: the folder '.*none' in column 'path' does not exist"),
        ("cell,path,member\na,HERE/no.zip,1.png\n", "row 2: the archive '.*no.zip' in column 'path' does not exist"),
        ("cell,path,member\na,HERE/no.zip,\n", "row 2: column 'member' is empty"),
        ("cell,path,member\na,HERE/1.png,1.png\n", "row 2: column 'member' is given, but 'path' is no .zip"),
        ("cell,path,xmin\na,HERE/1.png,3\n", "has column 'xmin' but not 'ymin'"),
        ("cell,path,xmin,ymin,xmax,ymax\na,HERE/1.png,3,4,,6\n", "row 2: column 'xmax' is '', not a number of px"),
        ("cell,path,x,y,size_px\na,HERE/1.png,3,4,big\n", "row 2: column 'size_px' is 'big', not a number"),
        ("cell,path,x,y,size_px\na,HERE/1.png,inf,4,6\n", "row 2: column 'x' is 'inf', not a number"),
        ("cell,path,xmin,ymin,xmax,ymax,x,y,size_px\na,HERE/1.png,1,2,3,4,5,6,7\n", "row 2: has both a box"),
        ("cell,path,patient\na,HERE/1.png,p\nb,HERE/2.png,\n", "row 3: column 'patient' of cell 'b' is empty"),
        ("cell,path,patient\na,HERE/1.png,p/1\n", "row 2: cell 'a' belongs to 'p/1', which is not a valid"),
    ],
)
def test_errors_name_file_row_and_column(tmp_path, text, message):
    file = write(tmp_path, text.replace("HERE", str(tmp_path)))
    with pytest.raises(InputError, match=message) as caught:
        read_cells(file)
    assert str(caught.value).startswith(file) and "\n" not in str(caught.value)


def test_patients_are_those_of_the_patients_table(tmp_path):
    file = write(tmp_path, f"cell,path,patient\na,{tmp_path}/1.png,patient1\nb,{tmp_path}/1.png,patiemt2\n")
    with pytest.raises(InputError, match=r"row 3: cell 'b' belongs to unknown patient 'patiemt2' \(did you mean"):
        read_cells(file, patients=["patient1", "patient2"], patients_file="patients.tsv")
    file = write(tmp_path, f"cell,path\na,{tmp_path}/1.png\n")
    with pytest.raises(InputError, match=r"column 'patient' is missing or empty, but the cohort has patients\.tsv"):
        read_cells(file, patients=["p"], patients_file="patients.tsv")


def test_attributes_are_columns_with_no_meaning_of_their_own(tmp_path):
    file = write(tmp_path, f"cell,path,shape\na,{tmp_path}/1.png,x\n")
    with pytest.raises(InputError, match=r"column 'shpe' is missing \(did you mean 'shape'\?\)"):
        read_cells(file, attributes=["shpe"])
    with pytest.raises(InputError, match=r"cells\.attributes names 'label', which is no attribute"):
        read_cells(file, attributes=["label"])


def test_simulated_pictures_are_made_later(tmp_path):
    file = write(tmp_path, "cell,path,member\na,nowhere/cells.zip,a.jpg\n")
    assert len(read_cells(file, check_paths=False)) == 1


def test_a_hundred_thousand_rows_take_seconds(tmp_path):
    n = 100_000
    table = pd.DataFrame({"cell": [f"c{i}" for i in range(n)], "path": [f"{tmp_path}/{i % 9}/x.png" for i in range(n)]})
    for i in range(9):
        (tmp_path / str(i)).mkdir()
    table = table.assign(x="10", y="20", size_px="30", patient="p1", label="blast")
    table.to_csv(tmp_path / "cells.tsv", sep="\t", index=False)
    started = time.process_time()
    assert len(read_cells(str(tmp_path / "cells.tsv"), patients=["p1"])) == n
    assert time.process_time() - started < 6  # about 1.3 s


def test_folder_of_embeddings(tmp_path):
    cells = CellInput(embeddings=str(tmp_path))
    with pytest.raises(InputError, match=r"holds no \.h5 files"):
        embedding_files(cells)
    for patient in ("p2", "p1"):
        h5py.File(tmp_path / f"{patient}.h5", "w").close()
    (tmp_path / "._p1.h5").touch()  # as macOS leaves them
    assert list(embedding_files(cells).items()) == [(p, str(tmp_path / f"{p}.h5")) for p in ("p1", "p2")]
    with pytest.raises(InputError, match=r"p2\.h5: unknown patient 'p2'"):
        embedding_files(cells, patients=["p1"])
    h5py.File(tmp_path / "p 3.h5", "w").close()
    with pytest.raises(InputError, match="'p 3' is not a valid patient id"):
        embedding_files(cells)
    with pytest.raises(InputError, match="is not a folder"):
        embedding_files(CellInput(embeddings=str(tmp_path / "none")))


def test_embeddings_with_any_spelling_of_the_suffix_are_taken_and_other_files_named(tmp_path, caplog):
    cells = CellInput(embeddings=str(tmp_path))
    for name in ("A.h5", "B.H5", "C.hdf5", "D.HDF5", "._A.h5", "notes.txt", "E.h5.part"):
        (tmp_path / name).touch()
    (tmp_path / "more").mkdir()
    (tmp_path / "F.h5").mkdir()  # refused when it is opened, not passed over
    with caplog.at_level("INFO"):
        found = embedding_files(cells)
    assert {patient: path.rsplit("/")[-1] for patient, path in found.items()} == {
        "A": "A.h5", "B": "B.H5", "C": "C.hdf5", "D": "D.HDF5", "F": "F.h5"
    }  # fmt: skip
    assert "3 entries are no .h5 files and are not read: E.h5.part, more, notes.txt" in caplog.text
    (tmp_path / "B.hdf5").touch()
    with pytest.raises(InputError, match=r"B\.hdf5: patient 'B' has another file, B\.H5; keep the right one"):
        embedding_files(cells)
