"""Files from elsewhere before they are opened: what is no file, and values of them in messages."""

import os

from histoweave.storage.given_files import is_absent, objection_to


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
        (".", "is a folder"), ("/dev/zero", "is a device"), ("good/x", "does not exist"), ("round", "cannot be accessed"),
        ("x" * 5000, "cannot be accessed"), ("a\x00b", "cannot be accessed"),
    ):  # fmt: skip
        assert words in objection_to(tmp_path / name), name
    assert is_absent(tmp_path / "gone") and not is_absent(tmp_path / "x\x00") and not is_absent(tmp_path / "pipe")


def test_missing_rights_are_said(not_mine):
    for name in ("mine_alone.png", "closed/a.png"):
        assert "Permission denied" in objection_to(not_mine / name)
    assert objection_to(not_mine / "open.png") is None
