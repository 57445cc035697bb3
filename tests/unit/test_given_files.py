"""Files from elsewhere before they are opened: what is no file, and values of them in messages."""

import os
import threading

from fuzzing import fuzz
from hypothesis import given
from hypothesis import strategies as st

from histoweave.given_files import is_absent, objection_to, shown


def test_what_can_be_opened_and_what_cannot(tmp_path):
    (tmp_path / "good").write_bytes(b"x")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "good")
    (tmp_path / "lost").symlink_to(tmp_path / "gone")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    assert objection_to(tmp_path / "good") is None and objection_to(tmp_path / "link") is None
    for name, words in (
        ("empty", "is empty"), ("pipe", "is a pipe"), ("lost", "does not exist"), ("gone", "does not exist"),
        (".", "is a folder"), ("/dev/zero", "is a device"), ("good/x", "does not exist"), ("round", "cannot be looked at"),
        ("x" * 5000, "cannot be looked at"), ("a\x00b", "cannot be looked at"),
    ):  # fmt: skip
        assert words in objection_to(tmp_path / name), name
    assert is_absent(tmp_path / "gone") and not is_absent(tmp_path / "x\x00") and not is_absent(tmp_path / "pipe")


def test_missing_rights_are_said(not_mine):
    for name in ("mine_alone.png", "closed/a.png"):
        assert "Permission denied" in objection_to(not_mine / name)
    assert objection_to(not_mine / "open.png") is None


@fuzz(200)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_values_are_shown_in_one_short_line(value):
    text = shown(value)
    assert len(text) <= 500 and "\n" not in text


def test_values_without_end_are_shown_at_once():
    nested = ["x"]
    for _ in range(200):
        nested = [nested, nested]
    done = threading.Thread(target=lambda: (shown(nested), shown(10**100_000), shown("x" * 10**7)), daemon=True)
    done.start()
    done.join(5)
    assert not done.is_alive() and shown(nested) == "a list" and shown(10**100_000) == "a number of many digits"
    assert shown("a'b") == repr("a'b") and shown(True) == "True" and shown(1.5) == "1.5" and shown(7) == "7"
