"""Pseudonyms of ids and words for values: what they are, where they stand, and what a missing key does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import string
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from running import ROOT

from histoweave.errors import InputError
from histoweave.privacy import pseudonyms as module
from histoweave.privacy import values as values_module
from histoweave.privacy.content import pseudonymised
from histoweave.privacy.files import FileNames
from histoweave.privacy.pseudonyms import Pseudonyms, pseudonym
from histoweave.privacy.values import HiddenValues
from histoweave.settings.config import parse_config
from histoweave.settings.privacy import Privacy
from histoweave.wiring.privacy import check_columns, privacy_params

KEY = "a key of the hospital, kept secret"
PSEUDONYM = re.compile(r"[PSCR]-[A-Z2-7]{10}")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("HISTOWEAVE_PSEUDONYM_KEY", KEY)


# ---------------------------------------------------------------- names


def test_a_pseudonym_is_the_start_of_the_hmac_of_the_id():
    # Test case 2 of RFC 4231.
    digest = int("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", 16)
    alphabet = string.ascii_uppercase + "234567"  # RFC 4648
    expected = "".join(alphabet[digest >> (256 - 5 * n) & 31] for n in range(1, 11))
    assert pseudonym("what do ya want for nothing?", "patient", key=b"Jefe") == f"P-{expected}"
    assert pseudonym("what do ya want for nothing?", "slide", key=b"Jefe") == f"S-{expected}"


def test_two_ids_with_one_pseudonym_are_refused(monkeypatch):
    monkeypatch.setattr(module, "N_CHARACTERS", 1)
    with pytest.raises(InputError, match=r"get the same pseudonym P-.; use another key"):
        Pseudonyms(KEY.encode(), {"patient": [f"p{n}" for n in range(40)]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TCGA-ZA-0001", "{p}"),
        ("TCGA-ZA-0001-01Z-00-DX1", "{s}"),
        ("TCGA-ZA-0001-01A-11R-A115-07", "{p}-01A-11R-A115-07"),
        ("TCGA.ZA.0001 and tcga_za_0001", "{p} and {p}"),
        ("/data/scans/tcga-za-0001-01z-00-dx1.svs", "/data/scans/{s}.svs"),
        ("/archive/S21 4711.svs cannot be read", "{s} cannot be read"),
        ("copied from S21 4711.svs", "copied from {s}"),
        (
            "patient 7: 17 of 70 tiles at 0.7, 7 of slides/7.svs",
            "patient {seven}: 17 of 70 tiles at 0.7, 7 of slides/{seven}.svs",
        ),
        ("7", "7"),
        ("x12345678.png, not 112345678", "x{number}.png, not 112345678"),
        ("Anna met Annabel", "{name} met Annabel"),
        ("0123456789abcdef", "0123456789abcdef"),
    ],
)
def test_ids_are_found_where_they_are_meant(text, expected):
    names = Pseudonyms(
        KEY.encode(),
        {"patient": ["TCGA-ZA-0001", "7", "12345678", "Anna"], "slide": ["TCGA-ZA-0001-01Z-00-DX1"]},
        files=FileNames.of([("TCGA-ZA-0001-01Z-00-DX1", "/archive/S21 4711.svs")]),
    )
    known = names.mapping
    given_names = {
        "p": "TCGA-ZA-0001",
        "s": "TCGA-ZA-0001-01Z-00-DX1",
        "seven": "7",
        "number": "12345678",
        "name": "Anna",
    }
    expected = expected.format(**{name: known[identifier] for name, identifier in given_names.items()})
    assert names.text(text) == expected
    assert names.text(expected) == expected


identifiers = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{2,8}[0-9]{3}", fullmatch=True)


@given(
    ids=st.lists(identifiers, min_size=1, max_size=8, unique=True),
    order=st.lists(st.tuples(st.integers(0, 7), st.sampled_from([" ", "/", ": ", ".svs ", "; "])), max_size=8),
)
def test_no_text_keeps_an_id(ids, order):
    names = Pseudonyms(KEY.encode(), {"patient": ids})
    text = "".join(f"{separator}{ids[place % len(ids)]}" for place, separator in order)
    shared = names.text(text)
    assert names.leaks(shared) == []
    # Ids inside others' pseudonyms are chance; all that is left besides them is free of ids.
    rest = PSEUDONYM.sub(" ", shared)
    assert not any(identifier in rest for identifier in ids if not identifier.isdigit())
    assert names.text(shared) == shared


def test_tables_keep_their_vocabulary_and_lose_their_ids():
    names = Pseudonyms(KEY.encode(), {"patient": ["p1", "Basal"], "slide": ["p1"]})
    table = pd.DataFrame(
        {
            "patient": ["p1", None], "slide": ["p1", ""], "label": ["Basal", "p1"], "reason": ["p1 is lost", None],
            "ids": ["p1; sample-of-p1", ""], "n": [1, 2], "top_tiles": [[{"slide": "p1", "score": 0.5}], []],
        }
    )  # fmt: skip
    shared = pseudonymised({"tables": (table,), "svg": Markup("<text>p1</text>")}, names)
    found = shared["tables"][0]
    one, of_slide = pseudonym("p1", "patient", key=KEY.encode()), pseudonym("p1", "slide", key=KEY.encode())
    assert found["patient"].to_list() == [one, None] and found["slide"].to_list() == [of_slide, ""]
    assert found["label"].to_list() == ["Basal", "p1"] and found["reason"].to_list() == [f"{one} is lost", None]
    sample = pseudonym("sample-of-p1", "sample", key=KEY.encode())
    assert found["ids"].to_list() == [f"{one}; {sample}", ""] and found["n"].to_list() == [1, 2]
    numbered = pseudonymised(
        pd.DataFrame({"patient": ["7"], "text": ["7"]}), Pseudonyms(KEY.encode(), {"patient": ["7"]})
    )
    assert numbered.loc[0].to_list() == [pseudonym("7", "patient", key=KEY.encode()), "7"]
    assert found["top_tiles"][0] == [{"slide": of_slide, "score": 0.5}]
    assert shared["svg"] == Markup(f"<text>{one}</text>") and isinstance(shared["svg"], Markup)
    assert table["patient"][0] == "p1", "the table itself stays as it was"


# ---------------------------------------------------------------- values


def hidden(**values):
    return Pseudonyms(KEY.encode(), {"patient": ["TCGA-ZA-0001"]}, values=HiddenValues(KEY.encode(), values))


def test_a_word_is_the_start_of_the_hmac_of_column_and_value():
    digest = hmac.new(KEY.encode(), b"site\x1fCharit\xc3\xa9", hashlib.sha256).digest()
    values = HiddenValues(KEY.encode(), {"site": ["Charité", "all"], "ward": ["Charité"]})
    found = values.word("Charité", "site")
    assert found == "site-" + base64.b32encode(digest).decode()[:6] == values.word(found, "site")
    assert values.word("Charité", "ward")[5:] != found[5:], "a value of another column is another value"
    assert set(values.mapping) == {"site:Charité", "ward:Charité"} and values.word("all", "site") == "all"


def test_two_values_with_one_word_are_refused(monkeypatch):
    monkeypatch.setattr(values_module, "N_CHARACTERS", 1)
    with pytest.raises(InputError, match=r"of column 'site' get the same word site-.; use another key"):
        HiddenValues(KEY.encode(), {"site": [f"s{n}" for n in range(40)]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("site 'ZA', AUROC +0.20", "site '{za}', AUROC +0.20"),
        ("Site ZA, then sites ZA, in ZA-blocks", "Site {za}, then sites {za}, in ZA-blocks"),
        ("/scans/heidelberg_old/Heidelberg2.svs", "/scans/{h}_old/Heidelberg2.svs"),
        ("TCGA-ZA-0001 of Heidelberg", "{p} of {h}"),
        ("tumour stage 'up to 3'; tumour_stage 'up to 3'", "tumour stage '{s}'; tumour_stage '{s}'"),
        ("the site's patients' low scores, all sites", "the site's patients' low scores, all sites"),
        ("site low, a low score", "site {low}, a low score"),
        ("age 'up to 44'", "age 'up to 44'"),
    ],
)
def test_values_are_found_where_they_are_meant(text, expected):
    names = hidden(site=["ZA", "Heidelberg", "low"], tumour_stage=["3"])
    word = names.values.word
    given_words = {
        "za": word("ZA", "site"), "h": word("Heidelberg", "site"), "s": word("up to 3", "tumour_stage"),
        "low": word("low", "site"), "p": names.mapping["TCGA-ZA-0001"],
    }  # fmt: skip
    assert names.text(text) == expected.format(**given_words)
    assert names.text(names.text(text)) == names.text(text)


@given(sites=st.lists(st.sampled_from(string.ascii_uppercase), min_size=2, max_size=8, unique=True))
def test_no_order_of_rows_tells_what_a_word_stands_for(sites):
    names = hidden(site=sites)
    scopes = ["pooled", *(f"site:{site}" for site in sorted(sites)), "class:a"] * 2
    table = pd.DataFrame({"scope": scopes, "n": range(len(scopes))})
    shared = pseudonymised(table, names)
    assert list(shared.index) == list(table.index)
    for part, of in ((shared.iloc[: len(scopes) // 2], 0), (shared.iloc[len(scopes) // 2 :], 1)):
        words = part["scope"].iloc[1:-1].to_list()
        assert words == sorted(words) and part["scope"].iloc[[0, -1]].to_list() == ["pooled", "class:a"]
        assert part["n"].iloc[0] == of * len(scopes) // 2
    of_word = {f"site:{names.values.word(site, 'site')}": f"site:{site}" for site in sites}
    assert [of_word.get(scope, scope) for scope in shared["scope"]] == [scopes[n] for n in shared["n"]]


def test_rows_of_patients_come_in_order_of_their_pseudonyms_and_keep_their_index():
    names = Pseudonyms(KEY.encode(), {"patient": [f"p{n}" for n in range(9)]})
    table = pd.DataFrame({"patient": [f"p{n}" for n in range(9)], "site": "x", "n": range(9)})
    for given_table in (table, table.set_axis([f"i{n}" for n in range(9)])):
        shared = pseudonymised(given_table, names)
        assert shared["patient"].is_monotonic_increasing and list(shared["n"]) != list(range(9))
        assert [names.mapping[f"p{n}"] for n in shared["n"]] == shared["patient"].to_list()
    assert list(shared.index) == [f"i{n}" for n in shared["n"]]


def test_a_table_that_names_its_column_hides_the_value_beside_it():
    names = hidden(site=["ZA"], age=["44"])
    table = pd.DataFrame({"column": ["site", "age", "sex"], "group": ["ZA", "up to 50", "f"], "n": 1})
    word = names.values.word
    assert pseudonymised(table, names)["group"].to_list() == [word("ZA", "site"), word("up to 50", "age"), "f"]
    assert pseudonymised(table, names.for_values())["group"].to_list()[0] == word("ZA", "site")
    ids = pd.DataFrame({"patient": ["TCGA-ZA-0001"], "site": ["ZA"]})
    assert pseudonymised(ids, names.for_values()).iloc[0].to_list() == ["TCGA-ZA-0001", word("ZA", "site")]


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (["sites"], r"names 'sites' \(did you mean 'site'"),
        (["label"], "which is no site"),
        (["stage"], "rename the col"),
    ],
)
def test_a_column_that_cannot_be_hidden_is_refused(columns, problem):
    tables = {
        "a": SimpleNamespace(patients=pd.DataFrame(columns=["patient", "label", "site", "label_source", "stage"]))
    }
    cells = SimpleNamespace(cohorts={"b": None}, attributes=lambda cohort: ["granules"])
    with pytest.raises(InputError, match=f"privacy.columns.*{problem}") as caught:
        check_columns(Privacy(pseudonyms=True, columns=columns), tables, cells)
    assert "\n" not in str(caught.value)
    check_columns(Privacy(pseudonyms=True, columns=["site", "granules"]), tables, cells)
    check_columns(Privacy(columns=columns), tables, cells)


# ---------------------------------------------------------------- the key


@pytest.mark.parametrize(
    ("value", "problem"), [(None, "is not set"), ("  ", "is not set"), ("short", "has 5 characters")]
)
def test_a_missing_key_is_refused_before_any_job(monkeypatch, value, problem):
    if value is None:
        monkeypatch.delenv("HISTOWEAVE_PSEUDONYM_KEY")
    else:
        monkeypatch.setenv("HISTOWEAVE_PSEUDONYM_KEY", value)
    with pytest.raises(InputError, match=f"HISTOWEAVE_PSEUDONYM_KEY {problem}") as caught:
        privacy_params(Privacy(pseudonyms=True))
    assert "\n" not in str(caught.value) and "secrets.token_hex" in str(caught.value)
    assert privacy_params(Privacy(pseudonyms=True), required=False)["key"] == ""
    assert privacy_params(Privacy()) == {}


def test_what_rules_are_told_changes_with_the_key_and_does_not_tell_it(monkeypatch):
    first = privacy_params(Privacy(pseudonyms=True))
    monkeypatch.setenv("HISTOWEAVE_PSEUDONYM_KEY", KEY + "!")
    second = privacy_params(Privacy(pseudonyms=True))
    assert first["key"] != second["key"] and KEY not in json.dumps([first, second])


def test_a_name_that_is_no_variable_is_refused():
    raw = {"cohorts": {"a": {"cells": "cells.tsv"}}, "privacy": {"pseudonyms": True, "key_env": "$(id)"}}
    with pytest.raises(InputError, match=r"privacy\.key_env"):
        parse_config(raw)


def test_the_commented_config_leaves_pseudonyms_off():
    raw = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    assert raw["privacy"] == Privacy().model_dump()
