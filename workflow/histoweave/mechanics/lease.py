"""GPUs of a workstation, shared between jobs: each job takes free ones and holds them as long as it lives.

Snakemake's local executor counts GPUs (`--resources gpu=2`) but does not say which job uses which. Here a job holds an
exclusive `flock` per device; the kernel releases it when the process ends, also by SIGKILL.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import logging
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from histoweave.errors import InputError

LOG = logging.getLogger(__name__)
VARIABLE = "CUDA_VISIBLE_DEVICES"
POLL_S = 0.2
_DRIVER = Path("/proc/driver/nvidia/gpus")
_DEVICE = re.compile(r"\d+|(GPU|MIG)-[0-9A-Za-z/-]+")


@contextlib.contextmanager
def lease(n: int, *, per_device: int = 1, timeout_s: float = 86400, folder: Path | None = None) -> Iterator[list[str]]:
    """Hold `n` GPUs while the block runs, and show only those to it through CUDA_VISIBLE_DEVICES.

    Enter before CUDA is used in this process. Jobs of one user share the locks; those of other users, or with
    another temporary folder, are not seen. A job takes all its devices at once or none, so jobs that want several
    cannot block each other, but a stream of jobs for one device can keep a job for two waiting.

    Parameters
    ----------
    n : devices wanted; 0 changes nothing. Nothing changes inside a SLURM job either: the scheduler has chosen.
    per_device : jobs that may share a device. The device with the fewest is taken first. A job with 1 is alone on
        its device, whatever the others allow.
    timeout_s : seconds to wait for a free device.
    folder : where the lock files lie; default: a folder of this user in the temporary folder.

    Yields
    ------
    The devices as CUDA_VISIBLE_DEVICES names them; an empty list on a machine without any, which is logged.

    Raises
    ------
    InputError
        if there are fewer than `n` devices, none becomes free in time, or the folder is not this user's alone.
    RuntimeError
        if this process has used CUDA before.
    """
    if n < 0 or per_device < 1:
        raise InputError(f"a job cannot ask for {n} GPUs with {per_device} jobs on each; use n >= 0, per_device >= 1")
    if n == 0 or "SLURM_JOB_ID" in os.environ:
        yield _named(os.environ.get(VARIABLE, "")) if n else []
        return
    devices = visible_devices()
    if not devices:
        LOG.info("no GPU on this machine: the job runs without")
        yield []
        return
    if n > len(devices):
        raise InputError(f"the job asks for {n} GPUs, but only {len(devices)} can be seen: {', '.join(devices)}")
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        raise RuntimeError("CUDA is in use already: lease GPUs before")
    taken, locks = _wait(n, devices, per_device, timeout_s, _private(folder))
    LOG.info("holding GPU %s", ", ".join(taken))
    try:
        with _environment(VARIABLE, ",".join(taken)):
            yield taken
    finally:
        _release(locks)


def visible_devices() -> list[str]:
    """Devices that this process may use: those of CUDA_VISIBLE_DEVICES, else all that the driver knows, as 0, 1, ..."""
    if VARIABLE in os.environ:
        return _named(os.environ[VARIABLE])
    return [str(index) for index in range(_count())]


def _named(text: str) -> list[str]:
    """Indices or UUIDs from CUDA_VISIBLE_DEVICES; as in CUDA, an empty entry or -1 ends the list."""
    parts = list(itertools.takewhile(lambda part: part not in ("", "-1"), map(str.strip, text.split(","))))
    for part in parts:
        if not _DEVICE.fullmatch(part):
            raise InputError(f"{VARIABLE} names '{part}': give indices or UUIDs as `nvidia-smi -L` lists them")
    return list(dict.fromkeys(parts))


def _count() -> int:
    """GPUs of this machine, without loading CUDA."""
    if _DRIVER.is_dir():
        return len(list(_DRIVER.iterdir()))
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def _private(folder: Path | None) -> Path:
    """The folder of the locks, made if need be; nobody else may be able to write there."""
    folder = Path(folder or Path(tempfile.gettempdir()) / f"histoweave-gpu-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise InputError(f"{folder} must be a folder that belongs to you alone (mode 700); remove it, or set TMPDIR")
    return folder


def _wait(n: int, devices: list[str], per_device: int, timeout_s: float, folder: Path) -> tuple[list[str], list[int]]:
    """Try until `n` of `devices` are taken; returns them and the descriptors of their locks."""
    deadline = time.monotonic() + timeout_s
    while True:
        # Only one job at a time looks, so what it counts is still true when it chooses.
        looking = _try_lock(folder / "looking.lock")
        if looking is not None:
            try:
                if taken := _take(n, devices, per_device, folder):
                    return taken
            finally:
                _release([looking])
        if time.monotonic() >= deadline:
            raise InputError(
                f"{n} of the GPUs {', '.join(devices)} did not become free within {timeout_s:g} s; "
                f"start fewer jobs at once (--resources gpu={len(devices)})"
            )
        time.sleep(POLL_S)


def _take(n: int, devices: list[str], per_device: int, folder: Path) -> tuple[list[str], list[int]] | None:
    """Lock one slot on each of the `n` least loaded devices, or nothing."""
    found = [(*slot, device) for device in devices if (slot := _slot(device, per_device, folder))]
    found.sort(key=lambda entry: entry[0])
    chosen, others = (found[:n], found[n:]) if len(found) >= n else ([], found)
    _release([lock for _, locks, _ in others for lock in locks])
    if not chosen:
        return None
    names = [device for *_, device in chosen]
    return sorted(names, key=devices.index), [lock for _, locks, _ in chosen for lock in locks]


def _slot(device: str, per_device: int, folder: Path) -> tuple[int, list[int]] | None:
    """Lock a free slot of `device`; returns how many others are taken and the locks, None if none is free."""
    name = quote(device, safe="")
    # Shared among those that share the device, exclusive for a job that does not.
    whole = _try_lock(folder / f"{name}.lock", fcntl.LOCK_SH if per_device > 1 else fcntl.LOCK_EX)
    if whole is None:
        return None
    tried = [_try_lock(folder / f"{name}.slot{i}.lock") for i in range(per_device)]
    free = [lock for lock in tried if lock is not None]
    _release(free[1:])
    if not free:
        _release([whole])
        return None
    return per_device - len(free), [whole, free[0]]


def _try_lock(path: Path, how: int = fcntl.LOCK_EX) -> int | None:
    """Lock a file without waiting; returns its descriptor, None if another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        raise InputError(
            f"{path.parent} lies on a file system without locks ({error.strerror}), which jobs need to share GPUs; "
            "set TMPDIR to a folder on a local disk"
        ) from None
    return descriptor


def _release(locks: list[int]) -> None:
    for lock in locks:
        # Said aloud: closing is not enough while a forked reader lives, which shares the descriptor.
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
