"""What the benchmarks share: a large slide of real tissue, a process of its own per measurement, one table."""

from __future__ import annotations

import importlib.metadata
import json
import multiprocessing
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openslide
import tifffile

ROOT = Path(__file__).parents[1]
SOURCE = ROOT.parent / "shared" / "data" / "wsi_slides" / "CMU-1-Small-Region.svs"
sys.path.insert(0, str(ROOT / "workflow"))


def make_slide(path: Path, *, edge_px: int, source: Path = SOURCE, levels: int = 3) -> Path:
    """Mirror a piece of tissue until it fills `edge_px` x `edge_px`; write it as a JPEG pyramid of 256 px tiles.

    The piece is a real slide's level 0, or drawn where that is not there.
    """
    if path.is_file():
        return path
    if source != SOURCE or source.is_file():
        with openslide.OpenSlide(source) as slide:
            mpp = float(slide.properties[openslide.PROPERTY_NAME_MPP_X])
            piece = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    else:
        mpp, piece = 0.5, drawn_tissue()
    strips = [np.flip(piece, axis=1) if column % 2 else piece for column in range(-(-edge_px // piece.shape[1]))]
    strip = np.concatenate(strips, axis=1)[:, :edge_px]
    whole = [np.flip(strip, axis=0) if row % 2 else strip for row in range(-(-edge_px // piece.shape[0]))]
    image = np.concatenate(whole, axis=0)[:edge_px]
    partial = path.with_suffix(".partial.tiff")
    with tifffile.TiffWriter(partial, bigtiff=True) as writer:
        for level in range(levels):
            writer.write(
                image,
                tile=(256, 256),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 85},
                resolution=(1e4 / (mpp * 4**level),) * 2,
                resolutionunit="CENTIMETER",
                subfiletype=int(level > 0),
                metadata=None,
            )
            height, width = (edge // 4 for edge in image.shape[:2])
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    partial.rename(path)
    return path


def drawn_tissue(edge_px: int = 3000) -> np.ndarray:
    """Pink stroma, purple nuclei and glass with detail of many sizes, (E,E,3) uint8: in place of a real slide."""
    rng = np.random.default_rng(0)

    def smooth(cells: int, channels: int = 1) -> np.ndarray:
        noise = rng.normal(size=(cells, cells, channels)).astype(np.float32)
        return cv2.resize(noise, (edge_px, edge_px), interpolation=cv2.INTER_CUBIC).reshape(edge_px, edge_px, channels)

    image = np.array([215.0, 150.0, 190.0], np.float32) + sum(9 * smooth(cells, 3) for cells in (8, 40, 200, 900))
    nuclei = 1 / (1 + np.exp(-8 * (smooth(220) - 0.9)))
    image += nuclei * (np.array([95.0, 60.0, 130.0], np.float32) - image)
    glass = 1 / (1 + np.exp(-30 * (smooth(5) - 0.6)))
    image += glass * (np.array([240.0, 240.0, 242.0], np.float32) - image)
    return (image + rng.normal(0, 3, image.shape)).clip(0, 255).astype(np.uint8)


def alone(function: Callable[..., dict[str, Any]], *arguments: Any, **environment: str) -> dict[str, Any]:
    """Run `function` in a fresh process; its result, with the peak resident memory of that process as `peak_mb`."""
    before = dict(os.environ)
    os.environ.update(environment)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_report, args=(queue, function, arguments))
    process.start()
    os.environ.clear()
    os.environ.update(before)
    result = queue.get()
    process.join()
    if "error" in result:
        raise RuntimeError(result["error"])
    return result


def _report(queue: multiprocessing.Queue, function: Callable, arguments: tuple) -> None:
    try:
        result = function(*arguments)
        # Not getrusage, whose peak is handed on from the process that started this one.
        status = Path("/proc/self/status").read_text()
        result["peak_mb"] = int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) / 1024
    except BaseException as error:
        queue.put({"error": f"{type(error).__name__}: {error}"})
        raise
    queue.put(result)


def seconds_of(function: Callable[[], Any]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def machine() -> dict[str, str]:
    """What a figure has to be read with."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    packages = ("torch", "timm", "openslide-bin", "h5py", "snakemake")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    load = f"{os.getloadavg()[0]:.1f}"
    return {"cpu": f"{model}, {len(os.sched_getaffinity(0))} cores", "load at start": load, "versions": versions}


def show(title: str, rows: list[tuple[str, str]], figures: dict[str, Any], json_file: str | None) -> None:
    """Print one table, and write the figures as JSON if a file is named."""
    width = max(len(name) for name, _ in rows)
    print(f"\n{title}")
    for name, value in rows:
        print(f"  {name:<{width}}  {value}")
    if json_file:
        Path(json_file).write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n", encoding="utf-8")
