"""JSON from elsewhere: what Python's own parser takes beyond the standard, and what costs more than it should."""

import json

import pytest
from fuzzing import answer, fuzz
from hypothesis import given
from hypothesis import strategies as st

from histoweave.storage.strict_json import MAX_BYTES, MAX_DEPTH, MAX_KEYS, NotJson, parse, read_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)  # fmt: skip


@fuzz(150)
@given(VALUES)
def test_json_is_read_as_python_reads_it(value):
    assert parse(json.dumps(value).encode()) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "a": 2}', "'a' occurs twice"),
        ('{"b": [{"a": 1, "a": 2}]}', "'a' occurs twice"),
        ("[NaN]", "NaN"),
        ("[-Infinity]", "-Infinity"),
        ('["\\ud800"]', "half a character"),
        ('{"x": [[{"\\udfff": 1}]]}', "half a character"),
        ("1" * 5000, "too large"),
        ("[" * 100_000, "too large"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), "deep"),
        ('{"a":' * 500 + "1" + "}" * 500, "deep"),
        ("{" + ",".join(f'"{number}": 0' for number in range(MAX_KEYS + 1)) + "}", "keys in one place"),
        ("", "line 1"),
        ("{'a': 1}", "line 1"),
    ],
)
def test_what_is_refused(text, words):
    with pytest.raises(NotJson, match=words):
        parse(text.encode())


def test_bytes_and_sizes_and_constants():
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    for data in (b"\xff\xfe[1]", b"\x80", b" " * (MAX_BYTES + 1)):
        with pytest.raises(NotJson):
            parse(data)
    assert parse(b'{"a": NaN, "b": [Infinity, 1]}', constants=True) == {"a": None, "b": [None, 1]}


@fuzz(150)
@given(st.binary(max_size=200) | st.text('{}[]",:0123456789.eE+-\\u nultrefas', max_size=80).map(str.encode))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path, data):
    path = tmp_path / "x.json"
    path.write_bytes(data)
    found = answer(lambda: read_object(path, mend="copy it again"))
    assert isinstance(found, dict) or "x.json" in found
