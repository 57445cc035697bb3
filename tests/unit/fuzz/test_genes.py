"""Damaged and hostile gene-set files and STAR-Counts files: read, or refused in one line."""

import gzip

import numpy as np
from fuzzing import answer, fuzz
from hypothesis import given
from hypothesis import strategies as st
from star_files import star_text

from histoweave.expression.star import StarFile, read_star_file
from histoweave.fusion.genes import read_gmt

GMT = "\ufeffone\thttp\tTP53\tESR1\t\r\n\r\nzwei\té\tTP53\tENSG00000141510.18\nthree\t\tMARCH1,0.5\tTP53\tTP53\n"
STAR = star_text((10, 200, 3000))
SPLICES = (
    b"\x00",
    b"\xff",
    b"\xff\xfe",
    b"\r",
    b"\n",
    b"\t",
    b"\t\t",
    b"# x\n",
    b'"',
    b"1-Mar",
    b"nan",
    b"1e999",
    b"\x1c",
    b"\xc3",
)


@st.composite
def damaged(draw, whole):
    """The file with bytes replaced, taken out or put in, cut short, or in another encoding."""
    content = whole.encode(
        draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "utf-16-le", "cp1252"])), "replace"
    )
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        end = min(len(content), at + draw(st.integers(0, 30)))
        content = content[:at] + draw(st.one_of(st.sampled_from(SPLICES), st.binary(max_size=6))) + content[end:]
    return content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content


@fuzz(300)
@given(content=st.one_of(damaged(GMT), st.binary(max_size=300)), packed=st.booleans())
def test_gene_sets(tmp_path, content, packed):
    path = tmp_path / "sets.gmt"
    path.write_bytes(gzip.compress(content) if packed else content)
    sets = answer(lambda: read_gmt(path))
    if not isinstance(sets, str):
        assert sets
        for name, genes in sets.items():
            assert name == name.strip() and genes and len(set(genes)) == len(genes)
            assert all(gene == gene.strip() and gene for gene in genes)


@fuzz(300)
@given(content=st.one_of(damaged(STAR), st.binary(max_size=300)), packed=st.booleans(), cut=st.integers(0, 40))
def test_star_counts(tmp_path, content, packed, cut):
    path = tmp_path / "a.tsv"
    if packed:
        content = gzip.compress(content)
        content = content[: len(content) - cut]
    path.write_bytes(content)
    read = answer(lambda: read_star_file(path, "unstranded"))
    if isinstance(read, StarFile):
        assert len(read.ids) == len(read.names) == len(read.values) > 0
        known = np.array([not name.startswith("N_") for name in read.ids])
        assert not np.isnan(read.values[known]).any()


@fuzz(60)
@given(end=st.integers(1, len(STAR) - 1))
def test_no_number_of_a_cut_file_is_a_shorter_one(tmp_path, end):
    """Whatever a cut file still gives is what the whole file says."""
    whole = tmp_path / "whole.tsv"
    whole.write_text(STAR)
    (tmp_path / "cut.tsv").write_text(STAR[:end])
    read, all_of_it = (
        answer(lambda: read_star_file(tmp_path / "cut.tsv", "unstranded")),
        read_star_file(whole, "unstranded"),
    )
    if isinstance(read, StarFile):
        n = len(read.ids)
        assert read.ids == all_of_it.ids[:n] and read.names == all_of_it.names[:n]
        np.testing.assert_array_equal(read.values, all_of_it.values[:n])
