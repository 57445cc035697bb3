"""What is fitted before the networks."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from histoweave.errors import InputError
from histoweave.fusion import catalog
from histoweave.fusion.genes import groups_from_sets, learned_groups, read_gmt
from histoweave.fusion.transforms import (
    Transforms,
    fit_components,
    fit_expression,
    read_transforms,
    write_transforms,
)
from histoweave.settings.fusion import Fusion


def test_image_transform_equals_scikit_learn():
    rng = np.random.default_rng(0)
    tiles = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6)) + 3
    tiles[:, 5] = 7.0  # constant
    scaled = StandardScaler().fit_transform(tiles)
    plain = fit_components(tiles, components=None, seed=0)
    np.testing.assert_allclose(plain(tiles), scaled, atol=1e-5)
    projected = fit_components(tiles, components=3, seed=0)(tiles)
    reference = PCA(3, random_state=0).fit_transform(scaled)
    # Up to one common factor: components keep their relative spread.
    factor = projected.std() / reference.std()
    np.testing.assert_allclose(projected, factor * reference, atol=1e-4)
    assert fit_components(tiles, components=64, seed=0).width == 6


def expression_table() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(5, [0.1, 3, 2, 1, 0.5, 1], size=(12, 6)), columns=list("uvwxyz"))
    table["y"] = 4.0  # constant
    table["z"] = np.nan  # never measured
    table.loc[[0, 1], "w"] = np.nan
    return table


def test_expression_keeps_the_most_variable_genes_and_fills_with_the_median():
    table = expression_table()
    fitted = fit_expression(table, settings=Fusion(n_genes=3), tokens=False, seed=0)
    assert fitted.kept_genes == ["v", "w", "x"]
    filled = table[["v", "w", "x"]].fillna(table.median())
    np.testing.assert_allclose(fitted(table), StandardScaler().fit_transform(filled), atol=1e-6)
    without_w = fitted(table.drop(columns="w"))
    np.testing.assert_allclose(without_w[:, 1], (table["w"].median() - filled["w"].mean()) / filled["w"].std(ddof=0))
    assert fit_expression(table, settings=Fusion(n_genes=99), tokens=False, seed=0).kept_genes == ["u", "v", "w", "x"]


def test_expression_without_a_varying_gene_is_refused():
    with pytest.raises(InputError, match="no gene varies"):
        fit_expression(expression_table()[["y", "z"]], settings=Fusion(n_genes=9), tokens=False, seed=0)


def test_learned_groups_are_the_co_expressed_genes():
    rng = np.random.default_rng(0)
    programmes = rng.normal(size=(3, 40))
    truth = rng.integers(3, size=60)
    profiles = programmes[truth] + 0.3 * rng.normal(size=(60, 40))
    profiles = (profiles - profiles.mean(1, keepdims=True)) / profiles.std(1, keepdims=True)
    groups = learned_groups(profiles, n_groups=3, seed=0)
    assert len(set(zip(groups, truth, strict=True))) == 3
    assert list(pd.unique(groups)) == [0, 1, 2]
    assert set(learned_groups(profiles[:2], n_groups=16, seed=0)) == {0, 1}


def test_a_gene_belongs_to_the_first_set_that_holds_it(tmp_path):
    path = tmp_path / "sets.gmt"
    path.write_text("one\thttp\ta\tb\nempty here\t-\tnobody\n\ntwo\t\tb\tc\t\n")
    sets = read_gmt(path)
    assert sets == {"one": ["a", "b"], "empty here": ["nobody"], "two": ["b", "c"]}
    assert groups_from_sets(["c", "b", "a", "other"], sets, path=str(path)).tolist() == [1, 0, 0, 2]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_gene_sets_as_editors_write_them(tmp_path, encoding, end):
    """With a byte order mark, any line end, trailing tabs, quotes, repeated genes, weights and versions."""
    lines = ["one\té\ta\tb\ta\t\t", "", "\t\t", '"two"\t\t"b"\t c \tNA', "three\t\tTP53,0.5\tENSG00000141510.18"]
    path = tmp_path / "sets.gmt"
    path.write_bytes(end.join(lines).encode(encoding))
    assert read_gmt(path) == {"one": ["a", "b"], "two": ["b", "c"], "three": ["TP53", "ENSG00000141510"]}


def test_older_symbols_of_a_set_count_as_current_ones_too(tmp_path):
    (tmp_path / "sets.gmt").write_text("one\t\tCDCA1\tTP53\n")
    assert read_gmt(tmp_path / "sets.gmt") == {"one": ["CDCA1", "TP53", "NUF2"]}


def test_gene_sets_of_an_unknown_encoding_are_refused_by_line(tmp_path):
    (tmp_path / "sets.gmt").write_bytes("one\t\ta\nd\u00e9j\u00e0\t\tb\n".encode("cp437"))
    with pytest.raises(InputError, match=r"sets.gmt, row 2: byte 0x82 is not UTF-8"):
        read_gmt(tmp_path / "sets.gmt")


def test_genes_of_other_identifiers_are_named_as_such():
    with pytest.raises(InputError, match=r"RNA table has Ensembl gene ids .* the gene sets gene symbols .such as TP53"):
        groups_from_sets(["ENSG00000141510"], {"one": ["TP53"]}, path="sets.gmt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one\tdescription\n", "line 1: is not a GMT line"),
        ("one\td\ta\none\td\tb\n", "line 2: gene set 'one' occurs twice"),
        ("\n\n", "is empty"),
        ("", "is empty; copy it again"),
        ("one\td\ta\ntwo\td\t2-Sep\n", "line 2: gene '2-Sep' is a date"),
        (None, "does not exist"),
        ("one\td\tsomething\n", "none of its genes"),
    ],
)
def test_a_bad_gmt_file_gets_one_line(tmp_path, text, message):
    path = tmp_path / "sets.gmt"
    if text is not None:
        path.write_text(text)
    table = expression_table()
    with pytest.raises(InputError, match=message) as caught:
        fit_expression(table, settings=Fusion(n_genes=9, gene_sets=str(path)), tokens=True, seed=0)
    assert "sets.gmt" in str(caught.value) and "\n" not in str(caught.value)


@settings(max_examples=10, deadline=None)
@given(components=st.sampled_from([None, 2, 3]), tokens=st.booleans(), ranks=st.booleans(), seed=st.integers(0, 100))
def test_transforms_survive_the_file_exactly(tmp_path_factory, components, tokens, ranks, seed):
    folder = tmp_path_factory.mktemp("transforms")
    rng = np.random.default_rng(seed)
    image = fit_components(rng.normal(size=(30, 5)), components=components, seed=seed)
    chosen = Fusion(n_genes=3, gene_tokens=2, expression_transform="ranks" if ranks else "log2")
    rna = fit_expression(expression_table(), settings=chosen, tokens=tokens, seed=seed)
    for transforms in (Transforms(image, rna), Transforms(image, None), Transforms(None, rna), Transforms(None, None)):
        write_transforms(folder / "t.parquet", transforms)
        again = read_transforms(folder / "t.parquet", ranks=ranks)
        for before, after in ((transforms.image, again.image), (transforms.expression, again.expression)):
            if before is None:
                assert after is None
                continue
            for name, value in vars(before).items():
                if value is None or isinstance(value, tuple):
                    assert getattr(after, name) == value
                else:
                    np.testing.assert_array_equal(getattr(after, name), value, strict=True)


def test_the_catalog_imports_neither_torch_nor_scikit_learn():
    code = "import sys, histoweave.fusion.catalog; print({'torch', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_catalog_refuses_duplicates_and_names_the_nearest():
    with pytest.raises(ValueError, match="already"):
        catalog.register(catalog.get("image"))
    with pytest.raises(InputError, match=r"'cros_attention'.*did you mean 'cross_attention'"):
        catalog.get("cros_attention")
    assert catalog.get("late_mean").needs == ("image", "expression")
    assert len(set(catalog.names())) == len(catalog.names()) == 12
