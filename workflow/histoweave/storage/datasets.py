"""How a dataset of somebody else's HDF5 file is stored, looked at before a value is read.

A dataset can be a link into another file, can have its values there, can never have been written, or can state a size that
nobody could hold. HDF5 follows the first two without a word, and reads zeros for the third.
"""

from __future__ import annotations

import math

import h5py

from histoweave.storage.refusal import Refusal

MAX_CHUNK_BYTES = 1 << 29
MAX_LENGTH = 1 << 16  # of a row
_FILTERS = {
    32000: "LZF",
    32001: "Blosc",
    32004: "LZ4",
    32008: "bitshuffle",
    32013: "ZFP",
    32015: "Zstandard",
    32026: "Blosc2",
}
_NUMBERS = (h5py.h5t.INTEGER, h5py.h5t.FLOAT)


def member(group: h5py.Group, name: str) -> h5py.Dataset | h5py.Group | None:
    """What lies in a group under a name, None if nothing does; a link that leads elsewhere is not followed.

    Raises
    ------
    Refusal
        `bad_coords` for `coords`, else `bad_features`, if it is a link and not the thing itself.
    """
    key = name.encode()
    if not group.id.links.exists(key):
        return None
    if group.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
        raise _refusal(name, "is a link to another place, which is not followed; copy the values into the file")
    return group[name]


def dataset(group: h5py.Group, name: str) -> h5py.Dataset | None:
    """The numbers that lie in a group under a name, None if there are none of that name (a group does not count).

    Raises
    ------
    Refusal
        `bad_coords` for `coords`, else `bad_features`, if it is a link, if its values lie in other files, were never
        written, are packed by a filter that is not there, are no numbers, or cannot be held in memory piece by piece.
    """
    found = member(group, name)
    if not isinstance(found, h5py.Dataset):
        return None
    plan = found.id.get_create_plist()
    if plan.get_layout() == h5py.h5d.VIRTUAL:
        raise _refusal(name, "is virtual: its values lie in other files; copy them into this one")
    if plan.get_external_count():
        raise _refusal(name, "has its values in another file, which is not read; copy them into this one")
    if found.id.get_type().get_class() not in _NUMBERS:
        raise _refusal(name, "does not hold plain numbers")
    for place in range(plan.get_nfilters()):
        code = plan.get_filter(place)[0]
        if not h5py.h5z.filter_avail(code):
            what = _FILTERS.get(code, f"number {code}")
            raise _refusal(name, f"is packed by the filter {what}, which is not installed here; write it with gzip")
    shape = found.shape
    if shape is None:
        raise _refusal(name, "has no values at all")
    if len(shape) > 1 and shape[-1] > MAX_LENGTH:
        raise _refusal(name, f"states rows of {shape[-1]} values, more than the {MAX_LENGTH} that are read")
    _check_written(found, plan, name)
    return found


def _check_written(found: h5py.Dataset, plan: h5py.h5p.PropDCID, name: str) -> None:
    n_values, item_bytes = math.prod(found.shape), found.id.get_type().get_size()
    if not n_values:
        return
    if plan.get_layout() != h5py.h5d.CHUNKED:
        stored = found.id.get_storage_size()
        if not stored:
            raise _refusal(name, "was never written; make the file again")
        if stored < n_values * item_bytes:
            raise _refusal(name, f"states {n_values} values and holds {stored // item_bytes}; make the file again")
        return
    chunk = plan.get_chunk()
    if math.prod(chunk) * item_bytes > MAX_CHUNK_BYTES:
        size = math.prod(chunk) * item_bytes / 1e9
        raise _refusal(name, f"is stored in pieces of {size:.1f} GB; write it again in pieces of some MB")
    needed = math.prod(math.ceil(length / piece) for length, piece in zip(found.shape, chunk, strict=True))
    written = found.id.get_num_chunks()
    if not written:
        raise _refusal(name, "was never written; make the file again")
    if written < needed:
        raise _refusal(name, f"was written in part: {written} of {needed} pieces are there; make the file again")


def _refusal(name: str, why: str) -> Refusal:
    return Refusal("bad_coords" if name == "coords" else "bad_features", f"dataset '{name:.60}' {why}")
