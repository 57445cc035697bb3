"""Whatever a configuration holds, it is taken or refused in one line, soon."""

from __future__ import annotations

import copy
import datetime
import threading
import time

import pytest
import yaml
from fuzzing import answer, fuzz
from hypothesis import given
from hypothesis import strategies as st
from running import ROOT

from histoweave.errors import InputError, short
from histoweave.settings.config import Config, parse_config
from histoweave.settings.errors import MAX_VALUES, check_form

GIVEN = yaml.safe_load((ROOT / "config/config.yaml").read_text()) | {
    "cohorts": {
        "c": {
            "patients": "patients.tsv",
            "slides": "slides.tsv",
            "expression": {"path": "rna.tsv", "unit": "counts"},
            "label_map": {"a": "x", "b": None},
            "simulate": {"no_mpp": ["s1"]},
        },
        "lab": {"cells": {"table": "cells.tsv", "attributes": ["size"]}},
    }
}
# What people write without quotes, and what YAML makes of it.
WRITTEN = ["yes", "no", "on", "off", "1.0", "0012", "12e3", "2020-01-01", "2020-01-01 10:00:00", "~", ".nan", "-.inf",
           "1e400", "0x" + "f" * 5000, "12:30:00", "!!binary aGk=", "!!set {a, b}", "[]", "{}", "''", "{1: 2}"]  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.binary(max_size=8), st.dates(),
    st.sampled_from(WRITTEN).map(yaml.safe_load),
    st.sampled_from(["x" * 9000, "\x1b[2J", "a\nb", "\u202e", "\udcff", "é" * 50, "=1+1", "a" * 200_000]),
)  # fmt: skip
names = st.one_of(st.text(max_size=12), scalars.filter(lambda value: not isinstance(value, list | dict | set)))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=5), max_leaves=25
)


def paths(value, at=()):
    """Every place in a nested configuration."""
    yield at
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*at, key))


PLACES = [path for path in paths(GIVEN) if path]


@fuzz(300)
@given(raw=values)
def test_any_nested_value_is_refused_or_taken(raw):
    found = answer(lambda: parse_config(raw))
    assert isinstance(found, Config | str)


@fuzz(500)
@given(place=st.sampled_from(PLACES), value=values, name=st.none() | names)
def test_any_value_at_any_key_is_refused_or_taken(place, value, name):
    raw = copy.deepcopy(GIVEN)
    section = raw
    for key in place[:-1]:
        section = section[key]
    section[place[-1] if name is None else name] = value
    found = answer(lambda: parse_config(raw, file="my.yaml"))
    assert isinstance(found, Config) or found.startswith("my.yaml: ")
    if isinstance(found, Config):
        assert parse_config(found.model_dump()) == found


def test_few_lines_that_stand_for_billions_of_values_are_refused_at_once():
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    laughs = yaml.load("\n".join(lines), Loader=yaml.SafeLoader)
    itself: dict = {"cohorts": {}}
    itself["cohorts"]["a"] = itself
    nested: list = []
    for _ in range(20_000):
        nested = [nested]
    started = time.monotonic()
    for raw, problem in ((laughs, f"holds over {MAX_VALUES} values"), (itself, "deep"), ({"cohorts": nested}, "deep")):
        for place in (raw, GIVEN | {"tiles": raw}, GIVEN | {"cohorts": {"c": {"label_map": raw}}}):
            with pytest.raises(InputError, match="which no configuration needs"):
                parse_config(place)
        with pytest.raises(InputError, match=f"{problem}|deep"):
            check_form(raw, file="config")
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("yes", "true (YAML reads yes, on or true so)"),
        ("off", "false (YAML reads no, off or false so)"),
        ("0012", "the number 10 (YAML reads digits so, without leading zeros)"),
        ("1.0", "the number 1.0"),
        ("2023-12-01", "the date 2023-12-01"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("positive: {}", "key 'cohorts.c.positive' is "),
        ("label_map: {{a: {}}}", "key 'cohorts.c.label_map.a' is "),
        ("label_map: {{{}: a}}", "a name below key 'cohorts.c.label_map' is "),
        ("simulate: {{without_rna: [p1, {}]}}", "key 'cohorts.c.simulate.without_rna.1' is "),
        ("patients: {}", "key 'cohorts.c.patients' is "),
    ],
)
def test_a_text_that_yaml_reads_as_something_else_is_to_be_put_in_quotes(line, place, written, words):
    raw = copy.deepcopy(GIVEN)
    raw["cohorts"]["c"] |= yaml.safe_load(line.format(written))
    with pytest.raises(InputError) as caught:
        parse_config(raw)
    assert f"config: {place}{words}" in str(caught.value) and "put it in quotes" in str(caught.value)
    raw["cohorts"]["c"] |= yaml.safe_load(line.format(f"'{written}'"))
    parse_config(raw)


def test_a_cohort_whose_name_yaml_reads_as_a_number_is_to_be_put_in_quotes():
    with pytest.raises(InputError, match=r"a name below key 'cohorts' is the number 2020 .* put it in quotes"):
        parse_config({"cohorts": yaml.safe_load("2020: {patients: p.tsv, slides: s.tsv}")})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("folds: {repeats: yes}", "'folds.repeats' is True: a number is expected"),
        ("fusion: {dropout: no}", "'fusion.dropout' is False: a number is expected"),
        ("fusion: {image_components: true}", "'fusion.image_components' is True"),
        ("fusion: {learning_rate: .inf}", "'fusion.learning_rate' is inf"),
        ("fusion: {weight_decay: .nan}", "'fusion.weight_decay' is nan"),
        ("tiles: {target_mpp: .nan}", "'tiles.target_mpp' is nan"),
    ],
)
def test_neither_yes_nor_infinity_is_a_number(line, words):
    with pytest.raises(InputError, match=words):
        parse_config(GIVEN | yaml.safe_load(line))


@pytest.mark.parametrize("text", ["p\x00.tsv", "p.tsv\n", "\x1b[2J", "\ud800", "a\tb"])
def test_a_text_of_more_than_one_line_is_refused(text):
    for place in ({"cohorts": {text: {}}}, {"cohorts": {"c": {"patients": text}}}, {"fusion": {"models": [text]}}):
        with pytest.raises(InputError, match="holds a line break or a control character"):
            parse_config(GIVEN | place)


def test_long_values_are_shortened():
    for value in ("x" * 10**7, ["y" * 100] * 10**5, {n: "z" * 50 for n in range(1000)}, 10**5000, b"q" * 10**6,
                  datetime.datetime(2020, 1, 1), {"a": {"b": {"c": {"d": {"e": 1}}}}}):  # fmt: skip
        assert len(short(value)) <= 60 and "\n" not in short(value)
    assert short("as it is") == "'as it is'" and short(0.5) == "0.5" and short(["a", 1]) == "['a', 1]"
    with pytest.raises(InputError) as caught:
        parse_config(GIVEN | {"seed": ["many " * 20] * 5000, "k" * 5000: 1})
    assert len(str(caught.value)) < 700
    assert "\x1b" not in str(InputError("file '\x1b[2J' is wrong")) and r"\x1b" in str(InputError("'\x1b[2J'"))


def test_values_without_end_are_shown_at_once():
    """A pickled list can hold another many times over: written out, a few bytes of it would have no end."""
    nested = ["x"]
    for _ in range(200):
        nested = [nested, nested]
    done = threading.Thread(target=lambda: [short(value) for value in (nested, 10**100_000, "x" * 10**7)], daemon=True)
    done.start()
    done.join(5)
    assert not done.is_alive() and len(short(nested)) <= 60
