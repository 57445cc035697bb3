"""GPU leases between real processes, on pretended devices."""

import os
import signal
import subprocess
import sys
import time
from itertools import combinations

import pytest

from histoweave.errors import InputError
from histoweave.mechanics import lease as module
from histoweave.mechanics.lease import lease, visible_devices

HOLD = """
import os, sys, time
from histoweave.mechanics.lease import lease
n, per_device, timeout_s, seconds, folder = sys.argv[1:]
with lease(int(n), per_device=int(per_device), timeout_s=float(timeout_s), folder=folder) as devices:
    begin = time.monotonic()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ",".join(devices)
    print("holds", begin, *devices, flush=True)
    time.sleep(float(seconds))
    print("ends", time.monotonic(), flush=True)
"""


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")


@pytest.fixture
def start(tmp_path, two_gpus):
    """Starts a process that holds GPUs for some seconds; all are ended after the test."""
    folder = tmp_path / "locks"
    folder.mkdir(mode=0o700)
    started = []

    def run(n=1, *, per_device=1, timeout_s=60, seconds=0.3):
        command = [sys.executable, "-c", HOLD, *map(str, (n, per_device, timeout_s, seconds, folder))]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    run.folder = folder
    yield run
    for process in started:
        process.kill()
        process.communicate()


def span(process):
    """(begin, end, devices) of a process that ends by itself."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    first, last = (line.split() for line in out.splitlines())
    return float(first[1]), float(last[1]), first[2:]


def most_at_once(spans, device):
    """How many of `spans` held `device` at one time, at most."""
    held = [(begin, end) for begin, end, devices in spans if device in devices]
    return max((sum(b <= begin < e for b, e in held) for begin, _ in held), default=0)


def test_six_jobs_on_two_devices_never_meet(start):
    spans = [span(process) for process in [start() for _ in range(6)]]
    assert {device for *_, devices in spans for device in devices} == {"0", "1"}
    assert most_at_once(spans, "0") == most_at_once(spans, "1") == 1


def test_two_jobs_share_a_device_if_allowed_and_no_more(start):
    spans = [span(process) for process in [start(per_device=2, seconds=1.5) for _ in range(6)]]
    assert most_at_once(spans, "0") <= 2 and most_at_once(spans, "1") <= 2
    assert max(most_at_once(spans, "0"), most_at_once(spans, "1")) == 2


def test_the_least_loaded_device_comes_first(two_gpus, tmp_path):
    folder = tmp_path / "locks"
    with lease(1, per_device=2, folder=folder) as first:
        os.environ["CUDA_VISIBLE_DEVICES"] = "0,1"
        with lease(1, per_device=2, folder=folder) as second:
            assert sorted(first + second) == ["0", "1"]


def test_a_job_that_does_not_share_is_alone(two_gpus, tmp_path):
    folder = tmp_path / "locks"
    with lease(1, per_device=2, folder=folder) as first:
        os.environ["CUDA_VISIBLE_DEVICES"] = first[0]
        with pytest.raises(InputError), lease(1, timeout_s=0, folder=folder):
            pass
        with lease(1, per_device=2, timeout_s=0, folder=folder) as second:
            assert second == first


def test_jobs_that_want_both_devices_do_not_block_each_other(start):
    spans = [span(process) for process in [start(n) for n in (2, 1, 2, 2, 1)]]
    assert most_at_once(spans, "0") == most_at_once(spans, "1") == 1
    both = [(begin, end) for begin, end, devices in spans if devices == ["0", "1"]]
    assert len(both) == 3
    assert all(a[1] <= b[0] or b[1] <= a[0] for a, b in combinations(both, 2))


def test_a_killed_job_frees_its_device(start):
    holder = start(2, seconds=60)
    assert holder.stdout.readline().startswith("holds")
    waiting = start()
    time.sleep(0.5)
    assert waiting.poll() is None
    holder.send_signal(signal.SIGKILL)
    assert span(waiting)[2] in (["0"], ["1"])


def test_waiting_ends_with_one_line(start):
    holder = start(2, seconds=60)
    assert holder.stdout.readline().startswith("holds")
    begin = time.monotonic()
    with (
        pytest.raises(InputError, match=r"2 of the GPUs 0, 1 did not become free within 0\.4 s") as error,
        lease(2, timeout_s=0.4, folder=start.folder),
    ):
        pass
    assert 0.4 <= time.monotonic() - begin < 5 and "\n" not in str(error.value)


def test_a_forked_reader_that_outlives_the_lease_does_not_keep_it(two_gpus, tmp_path):
    folder = tmp_path / "locks"
    with lease(2, folder=folder):
        reader = os.fork()
        if reader == 0:
            time.sleep(60)
            os._exit(0)
    try:
        with lease(2, timeout_s=0, folder=folder) as again:
            assert again == ["0", "1"]
    finally:
        os.kill(reader, signal.SIGKILL)
        os.waitpid(reader, 0)


def test_the_environment_comes_back(two_gpus, tmp_path, monkeypatch):
    with pytest.raises(KeyError), lease(1, folder=tmp_path / "locks") as devices:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == devices[0]
        raise KeyError
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(module, "_count", lambda: 3)
    with lease(3, folder=tmp_path / "locks") as devices:
        assert devices == ["0", "1", "2"]
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_where_there_is_nothing_to_lease(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    folder = tmp_path / "locks"
    for none in ("", "-1", "-1,0"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        with caplog.at_level("INFO", "histoweave.mechanics.lease"), lease(1, folder=folder) as devices:
            assert devices == [] and os.environ["CUDA_VISIBLE_DEVICES"] == none
    assert "no GPU" in caplog.text
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with lease(0, folder=folder) as devices:
        assert devices == [] and os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with lease(1, folder=folder) as devices:
        assert devices == ["0", "1"] and os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert not folder.exists()


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("1", ["1"]),
        (" 2, 0 ", ["2", "0"]),
        ("0,-1,1", ["0"]),
        ("GPU-8932f937-d72c", ["GPU-8932f937-d72c"]),
        ("MIG-GPU-8932f937/1/0", ["MIG-GPU-8932f937/1/0"]),
    ],
)
def test_devices_are_named_as_cuda_names_them(text, devices, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", text)
    assert visible_devices() == devices


def test_devices_without_cuda_are_counted_from_the_driver(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(module, "_DRIVER", tmp_path / "gpus")
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    monkeypatch.setenv("PATH", str(tool.parent))
    assert visible_devices() == []
    tool.write_text("#!/bin/sh\necho 'GPU 0: A100 (UUID: GPU-1)'\necho '  MIG 1g.5gb Device 0: (UUID: MIG-2)'\n")
    tool.chmod(0o755)
    assert visible_devices() == ["0"]
    for bus in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / bus).mkdir(parents=True)
    assert visible_devices() == ["0", "1"]


def test_what_cannot_be_is_said_at_once(two_gpus, tmp_path, monkeypatch):
    begin = time.monotonic()
    for n, message in ((3, "only 2 can be seen: 0, 1"), (-1, "n >= 0")):
        with pytest.raises(InputError, match=message), lease(n, folder=tmp_path / "locks"):
            pass
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "first")
    with pytest.raises(InputError, match="names 'first'"), lease(1, folder=tmp_path / "locks"):
        pass
    assert time.monotonic() - begin < 1


def test_a_folder_of_somebody_else_is_refused(two_gpus, tmp_path, monkeypatch):
    opened, real, link = tmp_path / "opened", tmp_path / "real", tmp_path / "link"
    opened.mkdir()
    opened.chmod(0o777)
    real.mkdir(mode=0o700)
    link.symlink_to(real)
    for folder in (opened, link):
        with pytest.raises(InputError, match="belongs to you alone"), lease(1, folder=folder):
            pass
    monkeypatch.setattr(module.os, "getuid", lambda: real.stat().st_uid + 1)
    with pytest.raises(InputError, match="belongs to you alone"), lease(1, folder=real):
        pass


def test_the_usual_folder_is_private(two_gpus, tmp_path, monkeypatch):
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
    with lease(1):
        (folder,) = tmp_path.iterdir()
        assert folder.name.endswith(f"-{os.getuid()}") and folder.stat().st_mode & 0o777 == 0o700
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
