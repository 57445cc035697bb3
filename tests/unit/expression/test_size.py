"""Memory of the expression stage: what its job asks for, what it takes, and that saving it changes no value."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pandas as pd
import pytest
from fresh_process import printed

from histoweave.expression.normalise import log_normalise
from histoweave.expression.prepare import prepare_expression
from histoweave.expression.size import memory_mb
from histoweave.settings.cohorts import ExpressionInput
from histoweave.tabular import matrix

N_GENES, N_SAMPLES = 20_000, 300
PATIENTS = [f"P{number:04d}" for number in range(N_SAMPLES)]
GENES = [f"ENSG{number:011d}.{number % 9}" for number in range(N_GENES)]
MOST_COPIES = 4  # it was six


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same counts as text, compressed, turned and as parquet."""
    folder = tmp_path_factory.mktemp("rna")
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.lognormal(2, 2, (N_GENES, 1)), (N_GENES, N_SAMPLES)) * (rng.random((N_GENES, 1)) < 0.7)
    table = pd.DataFrame(counts, index=pd.Index(GENES, name="gene"), columns=PATIENTS)
    found = {name: folder / f"rna.{name}" for name in ("tsv", "tsv.gz", "parquet", "turned.tsv")}
    text = table.to_csv(sep="\t")
    found["tsv"].write_text(text)
    found["tsv.gz"].write_bytes(gzip.compress(text.encode(), 1))
    table.reset_index().to_parquet(found["parquet"])
    table.T.rename_axis("patient").to_csv(found["turned.tsv"], sep="\t")
    return found


@pytest.mark.parametrize("form", ["tsv", "tsv.gz", "parquet", "turned.tsv"])
def test_the_job_asks_for_what_it_takes(files, form):
    path = files[form]
    code = f"""
import re
from pathlib import Path
from histoweave.expression.prepare import run_expression
from histoweave.settings.cohorts import ExpressionInput
def memory(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024 / 1e6
before = memory("VmRSS")
out = {{name: Path({str(path.parent)!r}, {form!r} + name) for name in ("expression", "samples", "genes", "report")}}
patients = {{f"P{{number:04d}}" for number in range({N_SAMPLES})}}
run_expression(ExpressionInput(path={str(path)!r}, unit="counts"), patients=patients, tcga=False, out=out)
print(before, memory("VmHWM"))
"""
    before, peak = map(float, printed(code).split())
    copy_mb = 8 * N_GENES * N_SAMPLES / 1e6
    wide_mb = 60 if form == "turned.tsv" else 0  # names and columns of 20,000 genes in pandas
    assert peak < memory_mb(path) < 8 * peak
    assert peak - before < 60 + wide_mb + MOST_COPIES * copy_mb  # 60: packages that are imported on the way


def test_what_is_asked_for_follows_the_values_and_not_the_compression(files, tmp_path):
    values_mb = 4 * 8 * N_GENES * N_SAMPLES / 1e6
    text_mb = files["tsv"].stat().st_size / 1e6
    for form in ("tsv", "tsv.gz", "turned.tsv"):
        assert memory_mb(files[form]) == pytest.approx(600 + values_mb + text_mb, rel=0.03), form
    assert memory_mb(files["parquet"]) == pytest.approx(
        600 + values_mb + files["parquet"].stat().st_size / 1e6, rel=0.02
    )
    star = tmp_path / "star"
    for number in range(5):
        (star / str(number)).mkdir(parents=True)
        content = ("ENSG\tG\t1\n" * 40_000).encode()
        (star / str(number) / "a.tsv").write_bytes(gzip.compress(content) if number else content)
    assert memory_mb(star) == 600 + int(4 * 8 * 5 * 40_000 / 1e6)


def test_a_file_that_is_compressed_in_parts_is_told_by_its_first(tmp_path):
    part = ("g\t" + "\t".join(map(str, range(1000, 3000))) + "\n").encode() * 1200
    (tmp_path / "rna.tsv.gz").write_bytes(gzip.compress(part) + gzip.compress(b"g\t1\n"))
    assert memory_mb(tmp_path / "rna.tsv.gz") == pytest.approx(600 + 4 * 8 * 2.4 + len(part) / 1e6, rel=0.05)


@pytest.mark.parametrize("name", ["a.parquet", "a.tsv", "a.tsv.gz", "a.h5ad"])
@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"PAR1 and no more", b"\x1f\x8b\x08\x00no gzip" + b"\xff" * 9])
def test_what_is_damaged_stops_no_plan(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert 600 <= memory_mb(tmp_path / name) < 610


def test_what_is_missing_is_said_as_snakemake_expects_it(tmp_path):
    (tmp_path / "empty").mkdir()
    assert memory_mb(tmp_path / "empty") == 600
    for name in ("a.tsv", "a.parquet", "a.h5ad"):
        with pytest.raises(FileNotFoundError):
            memory_mb(tmp_path / name)


@pytest.mark.parametrize("unit", ["counts", "tpm", "fpkm", "rsem", "log2"])
def test_logarithms_are_those_of_the_plain_formula_to_the_last_bit(unit):
    rng = np.random.default_rng(1)
    values = pd.DataFrame(rng.lognormal(1, 2, (37, 501)), [f"p{n}" for n in range(37)], [f"g{n}" for n in range(501)])
    values = values.mask(rng.random(values.shape) < 0.05).mask(rng.random(values.shape) < 0.2, 0.0)
    values.iloc[3] = 0.0
    for given in (values, values.T.copy().T, values.iloc[::2, ::-1]):
        before, plain = given.copy(), given
        if unit in ("counts", "fpkm"):
            total = given.sum(axis=1)
            plain = given.mul(1e6 / total.where(total > 0), axis=0)
        plain = given if unit == "log2" else np.log2(plain + 1.0)
        pd.testing.assert_frame_equal(log_normalise(given, unit=unit), plain, check_exact=True)
        pd.testing.assert_frame_equal(given, before, check_exact=True)


@pytest.mark.parametrize("odd", ["", "1,5", "n/a"])
def test_long_lines_in_parts_are_the_same_matrix_in_the_same_order_in_memory(tmp_path, monkeypatch, odd):
    """Sums depend on the order in their last bit; a field that is no plain number turns it, as it always did."""
    rng = np.random.default_rng(2)
    table = pd.DataFrame(rng.integers(0, 99, (301, 50)), [f"g{n}" for n in range(301)], PATIENTS[:50]).astype(str)
    table.iloc[7, 3], table.iloc[290, 4] = odd or "3.25", "17.125"
    table.to_csv(tmp_path / "a.tsv", sep="\t", index_label="gene")
    found = {}
    for n_values in (1 << 22, 1000, 50, 1):
        monkeypatch.setattr(matrix, "_CHUNK_VALUES", n_values)
        try:
            found[n_values] = matrix.read_matrix(tmp_path / "a.tsv").values
        except Exception as error:
            found[n_values] = str(error)
    whole, *parts = found.values()
    for part in parts:
        if isinstance(whole, str):
            assert part == whole
        else:
            np.testing.assert_array_equal(part, whole)
            assert part.strides == whole.strides


def test_patients_that_cannot_be_used_are_left_out_as_before(tmp_path):
    table = pd.DataFrame(
        {"gene": ["a", "b", "c"], "p1": [1.0, 2.0, 3.0], "p2": [2000.0, 1.0, 1.0], "p3": [-3.0, 0.5, 1]}
    )
    table.to_csv(tmp_path / "rna.tsv", sep="\t", index=False)
    made = prepare_expression(
        ExpressionInput(path=str(tmp_path / "rna.tsv"), unit="log2"), patients={"p1", "p2", "p3"}, tcga=False
    )
    assert made["expression"].to_dict("list") == {"patient": ["p1", "p3"], "a": [1, -3], "b": [2, 0.5], "c": [3, 1]}
    assert re.search("beyond 1000", made["samples"].set_index("sample").at["p2", "reason"])


def test_a_table_of_many_columns_is_read_once(tmp_path):
    """12,000 columns took a minute: the names of all were made anew for each."""
    wide = pd.DataFrame(np.arange(12_000.0)[None, :].repeat(2, 0), PATIENTS[:2], [f"g{n}" for n in range(12_000)])
    wide.rename_axis("patient").reset_index().to_parquet(tmp_path / "wide.parquet")
    code = f"""
import time
from histoweave.tabular.matrix import read_matrix
read_matrix({str(tmp_path / "wide.parquet")!r})
started = time.process_time()
found = read_matrix({str(tmp_path / "wide.parquet")!r})
print(time.process_time() - started, found.values.shape, found.values.flags.c_contiguous)
"""
    seconds, shape = printed(code).split(" ", 1)
    assert shape == "(2, 12000) True" and float(seconds) < 3  # it was 57
