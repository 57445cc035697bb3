"""The first reading of an h5ad file, in a process of its own: the HDF5 library may crash on a damaged file, or never end.

`python -m histoweave.tabular.h5ad_trial FILE` prints nothing for a file that can be read, else why it cannot.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import warnings
from pathlib import Path

import h5py

MEMORY_BYTES = 16 << 30
_START_S, _BYTES_PER_S = 120.0, 1e6


def objection_of_trial(path: Path) -> str | None:
    """Read `path` in another process; None, or why it cannot be read."""
    library = str(Path(__file__).parents[2])
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {library!r}); from {__name__} import main; main()",
    ]
    try:
        done = subprocess.run(
            [*command, str(path)],
            capture_output=True,
            timeout=_START_S + path.stat().st_size / _BYTES_PER_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return f"reading it has no end after {error.timeout:.0f} s"
    said = done.stdout.decode(errors="replace").strip()
    return said or (None if done.returncode == 0 else "it crashes the HDF5 library")


def _foreign(file: h5py.File) -> str | None:
    """What of the file lies elsewhere: links to other files, values stored outside."""
    found: list[str] = []

    def look(name: str, link: h5py.HardLink | h5py.SoftLink | h5py.ExternalLink) -> None:
        if isinstance(link, h5py.ExternalLink):
            found.append(f"'{name}' is a link to another file")
        elif isinstance(link, h5py.HardLink) and isinstance(each := file[name], h5py.Dataset):
            if each.external or each.is_virtual:
                found.append(f"'{name}' stores its values outside the file")
            elif each.size and each.chunks is None and not each.id.get_storage_size():
                found.append(f"'{name}' was never written")

    file.visititems_links(look)
    return found[0] if found else None


def main() -> None:
    """Read the file that the command line names."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    warnings.simplefilter("ignore")
    path = sys.argv[1]
    try:
        with h5py.File(path, "r") as file:
            said = _foreign(file)
        if said is None:
            import anndata

            anndata.read_h5ad(path)
    except Exception as error:  # AnnData and HDF5 raise anything for a damaged file
        said = " ".join(str(error).split())[:160] or type(error).__name__
    print(said or "")
