"""Folders of DICOM files: what is DICOM, and which series is the slide. Headers as PS3.5 and PS3.10 lay them out."""

import os
import struct

import pytest
from fuzzing import answer, fuzz
from hypothesis import given
from hypothesis import strategies as st

from histoweave.slides.dicom import check_series, dicom_files, slide_file
from histoweave.slides.reader import open_slide
from histoweave.slides.tile_folder import is_tile_folder
from histoweave.storage.dicom_files import is_dicom
from histoweave.storage.refusal import Refusal

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
ANNOTATION = "1.2.840.10008.5.1.4.1.1.91.1"
EXPLICIT, IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
UNKNOWN = 0xFFFFFFFF


def element(tag, kind, value, *, order="<", explicit=True):
    value = value.encode() if isinstance(value, str) else value
    value += b"\0" * (len(value) % 2)
    if not explicit:
        return struct.pack(order + "HHI", *tag, len(value)) + value
    if kind in ("OB", "SQ", "UN", "UT"):
        return struct.pack(order + "HH2sHI", *tag, kind.encode(), 0, len(value)) + value
    return struct.pack(order + "HH2sH", *tag, kind.encode(), len(value)) + value


def sequence(tag, items, *, order="<", explicit=True, known=False):
    """A sequence of items; without known lengths each item and the sequence end with a mark."""
    if known:
        body = b"".join(struct.pack(order + "HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
        return element(tag, "SQ", body, order=order, explicit=explicit)
    body = b"".join(
        struct.pack(order + "HHI", 0xFFFE, 0xE000, UNKNOWN) + item + struct.pack(order + "HHI", 0xFFFE, 0xE00D, 0)
        for item in items
    ) + struct.pack(order + "HHI", 0xFFFE, 0xE0DD, 0)
    head = (
        struct.pack(order + "HH2sHI", *tag, b"SQ", 0, UNKNOWN)
        if explicit
        else struct.pack(order + "HHI", *tag, UNKNOWN)
    )
    return head + body


def header(series="1.2.3", kind="VOLUME", sop_class=WHOLE_SLIDE, syntax=EXPLICIT, nested=None):
    """The first elements of a file, up to those behind the series."""
    how = {"order": ">" if syntax == BIG_ENDIAN else "<", "explicit": syntax != IMPLICIT}
    meta = element((2, 1), "OB", b"\0\1") + element((2, 2), "UI", sop_class) + element((2, 16), "UI", syntax)
    between = b"" if nested is None else sequence((8, 0x1140), nested(how), **how)
    if nested is not None:
        between += sequence((8, 0x2112), nested(how), known=True, **how)
    data = (
        element((8, 8), "CS", f"ORIGINAL\\PRIMARY\\{kind}\\NONE", **how)
        + element((8, 0x16), "UI", sop_class, **how)
        + between
        + element((0x10, 0x10), "PN", "Somebody", **how)
        + element((0x20, 0xD), "UI", "1.2.3.9", **how)
        + element((0x20, 0xE), "UI", series, **how)
        + element((0x28, 0x10), "US", struct.pack(how["order"] + "H", 64), **how)
        + sequence((0x5200, 0x9230), [element((8, 8), "CS", "X", **how)] * 3, **how)
        + element((0x7FE0, 0x10), "OB", bytes(12), **how)
    )
    return bytes(128) + b"DICM" + meta + data


def deep(how):
    """Two items that hold the series of another file, one of them deeper down."""
    inner = element((0x20, 0xE), "UI", "9.9.9", **how)
    return [inner, sequence((0x40, 1), [inner, inner], **how) + inner]


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, "1.2.840.10008.1.2.4.50"])
@pytest.mark.parametrize("nested", [None, deep])
def test_the_series_is_found_in_every_way_of_writing(tmp_path, syntax, nested):
    folder = write(
        tmp_path / "d",
        a=header("1.2.3", syntax=syntax, nested=nested),
        b__dcm=header("1.2.3", syntax=syntax),
        label__dcm=header("7.7", kind="LABEL", syntax=syntax),
        notes__dcm=header("7.8", sop_class=ANNOTATION, syntax=syntax),
    )
    assert slide_file(folder).name == "a" and not is_tile_folder(folder)
    write(folder, other=header("4.5", syntax=syntax, nested=nested))
    with pytest.raises(Refusal) as caught:
        slide_file(folder)
    assert caught.value.status == "unreadable"
    assert (
        "2 DICOM series" in caught.value.reason and "1.2.3 ('d/a' and 1 more), 4.5 ('d/other')" in caught.value.reason
    )


def test_dicom_is_known_by_its_content_and_hidden_files_do_not_count(tmp_path):
    folder = write(tmp_path, a=header(), b__5=header(), c__dcm=b"no DICOM", e__txt=header(), f=b"short")
    (folder / ".d.dcm").write_bytes(header())
    os.mkfifo(folder / "pipe")
    assert [file.name for file in dicom_files(folder)] == ["a", "b.5", "c.dcm"]
    assert is_dicom(folder / "a") and not is_dicom(folder / "c.dcm") and not is_dicom(folder / "pipe")


@pytest.mark.parametrize("damaged", [b"", bytes(5000), bytes(100), b"no DICOM", header()[:150], header()[:300]])
@pytest.mark.parametrize("cut", [None, -13, -25, -60])
@pytest.mark.parametrize("names", [("a.dcm", "b.dcm"), ("b.dcm", "a.dcm"), ("a.DCM", "b.dcm")])
def test_a_damaged_level_beside_good_ones_is_no_coarser_slide(tmp_path, damaged, cut, names):
    damaged = damaged if cut is None else header()[:cut]
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / names[0]).write_bytes(damaged)
    (folder / names[1]).write_bytes(header())
    for refuse in (slide_file, check_series):
        with pytest.raises(Refusal, match=f"'d/{names[0]}'.*copy it again") as caught:
            refuse(folder)
        assert caught.value.status == "unreadable"
    with pytest.raises(Refusal, match=names[0]):
        open_slide(folder / names[1])  # by the path of the good one


def test_an_emptied_file_without_suffix_is_no_smaller_slide(tmp_path):
    folder = write(tmp_path, IM1=header(), IM2=bytes(900), thumb__png=b"", notes__md=b"")
    with pytest.raises(Refusal, match="IM2': is empty"):
        slide_file(folder)
    (folder / "IM2").write_text("Readme of the archive")
    assert slide_file(folder).name == "IM1"


def test_a_list_of_files_beside_a_series_does_no_harm(tmp_path):
    meta = element((2, 2), "UI", "1.2.840.10008.1.3.10") + element((2, 16), "UI", EXPLICIT)
    listed = element((4, 0x1130), "CS", "DISK") + sequence((4, 0x1220), [element((4, 0x1500), "CS", "IM1")] * 2)
    folder = write(tmp_path, DICOMDIR=bytes(128) + b"DICM" + meta + listed, IM1=header(), VERSION=b"1.0\n")
    assert slide_file(folder).name == "IM1"


def test_a_stray_label_makes_tiles_no_slide(tmp_path):
    for number in range(4):
        (tmp_path / f"s_{224 * number}_0.png").write_bytes(b"x")
    for stray in (b"x" * 300, header(kind="LABEL"), b""):
        (tmp_path / "label.dcm").write_bytes(stray)
        assert is_tile_folder(tmp_path)
    (tmp_path / "slide").write_bytes(header())
    assert not is_tile_folder(tmp_path)
    damaged = write(tmp_path / "e", a__dcm=header()[:150], thumbnail__png=b"x", macro_2__png=b"x")
    assert not is_tile_folder(damaged)


def test_what_is_no_slide_is_said(tmp_path):
    folder = write(tmp_path / "a", label=header(kind="LABEL"), broken__dcm=header()[:150], none__dcm=b"")
    with pytest.raises(Refusal, match="none of the 3 DICOM files shows a whole slide; 'a/broken"):
        slide_file(folder)
    assert slide_file(write(tmp_path / "b", x__png=b"")) == tmp_path / "b"


def test_a_closed_folder_is_refused(not_mine):
    with pytest.raises(Refusal, match="Permission denied"):
        slide_file(not_mine / "closed")
    assert not is_tile_folder(not_mine / "closed")


@fuzz(150)
@given(st.data())
def test_damaged_headers_are_refused_or_read(tmp_path, data):
    folder = tmp_path
    whole = header(syntax=data.draw(st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN])), nested=deep)
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for place in data.draw(st.lists(st.integers(132, len(whole)), max_size=8)):
        if place < len(damaged):
            damaged[place] = data.draw(st.integers(0, 255))
    (folder / "a.dcm").write_bytes(damaged + b"\0" * data.draw(st.integers(0, 100_000)))
    found = answer(lambda: slide_file(folder), Refusal)
    assert found == folder / "a.dcm" or isinstance(found, str)
