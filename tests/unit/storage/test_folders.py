"""Listing folders: hidden files, links, pipes, rights."""

import os

import pytest

from histoweave.storage.folders import check_readable, files_in
from histoweave.storage.refusal import Refusal


def test_hidden_files_folders_and_pipes_are_no_files_and_links_are(tmp_path):
    folder = tmp_path / "f"
    (folder / "sub").mkdir(parents=True)
    for name in ("b.png", "a.png", "._a.png", ".DS_Store"):
        (folder / name).write_text("x")
    os.mkfifo(folder / "pipe.png")
    (folder / "to_file.png").symlink_to("a.png")
    (folder / "to_folder").symlink_to("sub")
    (folder / "to_pipe.png").symlink_to("pipe.png")
    (folder / "to_nowhere.png").symlink_to("none")
    (folder / "loop.png").symlink_to("loop.png")
    names = [file.name for file in files_in(folder)]
    assert names == ["a.png", "b.png", "loop.png", "to_file.png", "to_nowhere.png"]
    check_readable(folder)
    check_readable(folder / "to_file.png")


def test_a_name_with_a_nul_is_a_missing_file():
    with pytest.raises(Refusal) as caught:
        check_readable("a\0b.png")
    assert caught.value.status == "missing_file" and "\0" not in caught.value.reason


def test_missing_rights_are_said(not_mine):
    for path, words in ((not_mine / "closed/a.png", "Permission denied"), (not_mine / "mine_alone.png", "right to")):
        with pytest.raises(Refusal, match=words) as caught:
            check_readable(path, status="unreadable_cell")
        assert caught.value.status == "unreadable_cell"
    with pytest.raises(Refusal, match="Permission denied"):
        check_readable(not_mine / "closed")
