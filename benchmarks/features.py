"""Tiles per second of the feature stage, beside the plain loop of the field and the bare forward pass, in one run.

    python benchmarks/features.py [--encoder resnet50] [--json FILE]

Without --weights, networks other than those of a package get random weights: the speed is the same and no file is needed.
Where no slide is given and the shared one is not there, one is drawn.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from common import SOURCE, alone, machine, make_slide, seconds_of, show

WITH_WEIGHTS = ("efficientnet_lite0",)  # that a package carries
TILE_BATCH, READ_WORKERS, PLAIN_BATCH = 32, 2, 64
FURTHER_SLIDES, FURTHER_EDGE_PX = 8, 4_000


def tile(slide: Path, folder: Path) -> Path:
    from histoweave.settings.tiles import Tiles
    from histoweave.tiles.slide import tile_slide

    out = {"out_h5": folder / "t.h5", "out_geojson": folder / "t.geojson", "out_png": folder / "t.png"}
    tile_slide(slide="S", path=str(slide), mpp=None, settings=Tiles(), on_error="stop", **out)
    return out["out_h5"]


def load(encoder: str, weights: str | None, threads: int):
    import torch

    from histoweave.encoders.loading import load
    from histoweave.settings.encoder import Encoder

    torch.set_num_threads(threads)
    return load(Encoder(name=encoder, weights=weights))


def make_weights(encoder: str, path: Path) -> str:
    """Random weights with statistics that are not those of a fresh network, so that folding them matters."""
    import safetensors.torch
    import timm
    import torch

    torch.manual_seed(0)
    network = timm.create_model(encoder.removeprefix("timm:"), num_classes=0)
    state = network.state_dict()
    for name, value in state.items():
        if name.endswith("running_mean"):
            state[name] = 0.1 * torch.randn_like(value)
        elif name.endswith("running_var"):
            state[name] = 0.5 + torch.rand_like(value)
    safetensors.torch.save_file(state, path)
    return str(path)


def ours(
    slide: str, tiles_h5: str, out_h5: str, encoder: str, weights: str | None, threads: int, device: str
) -> dict[str, Any]:
    import torch

    from histoweave.encoders.inference import TileEncoder
    from histoweave.features.slide import extract

    ready: list[TileEncoder] = []
    loaded = [load(encoder, weights, threads)]
    preparation = seconds_of(
        lambda: ready.append(TileEncoder(loaded.pop(), device=torch.device(device), arithmetic="auto"))
    )
    settings = {"precision": "float32", "max_failed_share": 0.0, "on_error": "stop"}
    mechanics = {"tile_batch": TILE_BATCH, "read_workers": READ_WORKERS}
    seconds = seconds_of(
        lambda: extract(
            slide="S", path=slide, tiles_h5=tiles_h5, out_h5=out_h5, encoder=ready[0], **settings, **mechanics
        )
    )
    return {"seconds": seconds, "preparation": preparation, "arithmetic": ready[0].arithmetic, "path": ready[0].path}


def shard(slide: str, folder: str, encoder: str, weights: str | None, threads: int, device: str) -> dict[str, Any]:
    """Seconds that a further slide costs in a shard, from a shard of one and one of `1 + FURTHER_SLIDES` copies."""
    import torch

    torch.set_num_threads(threads)
    (first, _), (many, n_tiles) = (_shard(slide, folder, encoder, weights, n, device) for n in (1, 1 + FURTHER_SLIDES))
    return {"per_further_slide_s": (many - first) / FURTHER_SLIDES, "n_tiles": n_tiles}


def _shard(slide: str, folder: str, encoder: str, weights: str | None, n_slides: int, device: str) -> tuple[float, int]:
    """Seconds to extract the features of a shard of copies of a slide, loading included; tiles of a slide."""
    from histoweave.features.extract_features import extract_shard
    from histoweave.settings.encoder import Encoder
    from histoweave.settings.tiles import Tiles
    from histoweave.tiles.tile_slides import tile_shard

    root = Path(folder) / f"shard-{n_slides}"
    place = {"path": slide, "mpp": None, "coords": "", "features": ""}
    slides = [{"slide": f"S{number}", **place} for number in range(n_slides)]
    tiles_index, index = root / "tiles/shards/0-of-1.json", root / "features/shards/0-of-1.json"
    how = {"on_error": "stop", "code": ""}
    tiled = tile_shard(slides, index=tiles_index, settings=Tiles(), workers=2, **how)
    settings = {"arithmetic": "auto", "precision": "float32", "tiles": Tiles(), "device": device}
    mechanics = {"tile_batch": TILE_BATCH, "read_workers": READ_WORKERS}
    network = Encoder(name=encoder, weights=weights)
    started = time.perf_counter()
    extract_shard(slides, index=index, tiles_index=tiles_index, encoder=network, **settings, **mechanics, **how)
    return time.perf_counter() - started, tiled[0].outcome.n_tiles


def plain(
    slide: str, tiles_h5: str, n_tiles: int, out: str, encoder: str, weights: str | None, threads: int, device: str
) -> dict[str, Any]:
    """What everyone writes first: one read per tile, Pillow, torchvision, float32."""
    import h5py
    import numpy as np
    import openslide
    import torch
    from torchvision import transforms

    from histoweave.slides.store import read_tiles

    loaded = load(encoder, weights, threads)
    tiles, network = read_tiles(tiles_h5), loaded.module.to(device)
    transform = transforms.Compose(
        [
            transforms.Resize((loaded.input_px, loaded.input_px)),
            transforms.ToTensor(),
            transforms.Normalize(loaded.mean, loaded.std),
        ]
    )
    chosen = tiles.coords[:n_tiles]
    rows = []
    started = time.perf_counter()
    with openslide.OpenSlide(slide) as handle, torch.inference_mode():
        level = tiles.attributes["patch_level"]
        edge = round(tiles.attributes["patch_size_level0"] / handle.level_downsamples[level])
        for first in range(0, len(chosen), PLAIN_BATCH):
            batch = [
                transform(handle.read_region((int(x), int(y)), level, (edge, edge)).convert("RGB"))
                for x, y in chosen[first : first + PLAIN_BATCH]
            ]
            rows.append(network(torch.stack(batch).to(device)).cpu().numpy())
    with h5py.File(out, "w") as file:
        file["features"] = np.concatenate(rows)
    return {"seconds": time.perf_counter() - started, "n_tiles": len(chosen)}


def parts(slide: str, tiles_h5: str, encoder: str, weights: str | None, threads: int, device: str) -> dict[str, Any]:
    """Seconds per tile of each step alone, and the bare forward pass on random tensors."""
    import numpy as np
    import tifffile
    import torch

    from histoweave.encoders.inference import TileEncoder
    from histoweave.features.file import FeatureFile
    from histoweave.slides.blocks import blocks_of
    from histoweave.slides.store import read_tiles
    from histoweave.slides.tile_reader import TileReader

    loaded = load(encoder, weights, threads)
    ready = TileEncoder(loaded, device=torch.device(device), arithmetic="auto")
    tiles = read_tiles(tiles_h5)
    blocks = blocks_of(tiles.coords, edge_lv0=tiles.attributes["patch_size_level0"])
    with tifffile.TiffFile(slide) as file:
        page = file.pages[0]
        spans = list(zip(page.dataoffsets, page.databytecounts, strict=True))

    def read_bytes() -> None:
        with open(slide, "rb") as raw:
            for offset, size in spans:
                raw.seek(offset)
                raw.read(size)

    found = {"read": seconds_of(read_bytes) / len(tiles.coords)}
    where = {"path": Path(slide), "tiles": tiles, "edge_px": loaded.input_px, "interpolation": loaded.interpolation}
    with TileReader(**where) as reader:
        images: list[np.ndarray] = []
        taken = seconds_of(lambda: images.extend(reader.read(rows)[0] for rows in blocks[:12]))
    n_read = sum(len(part) for part in images)
    found["decode"] = max(0.0, taken / n_read - found["read"])
    batch = np.concatenate(images)[:TILE_BATCH]

    def transform() -> None:
        ready.transform(batch)
        if device == "cuda":
            torch.cuda.synchronize()  # the copy to the GPU goes on when the call has returned

    found["transform"] = statistics.median(seconds_of(transform) for _ in range(9)) / len(batch)
    random = ready.transform(np.random.default_rng(0).integers(0, 256, batch.shape, np.uint8))
    for _ in range(3):
        ready.forward(random)
    rounds = max(9, round(15 / max(1e-3, seconds_of(lambda: ready.forward(random)))))
    found["forward"] = statistics.median(seconds_of(lambda: ready.forward(random)) for _ in range(rounds)) / len(batch)
    features = ready.forward(random)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "f.h5"

        def write() -> None:
            with FeatureFile(place, tiles=tiles, dim=loaded.dim, precision="float32", attributes={}) as file:
                for first in range(0, len(tiles.coords), TILE_BATCH):
                    rows = np.arange(first, min(first + TILE_BATCH, len(tiles.coords)))
                    file.put(rows, features[: len(rows)])
                file.finish()

        found["write"] = seconds_of(write) / len(tiles.coords)
    return {"per_tile_s": found}


def least_cosine(ours_h5: Path, plain_h5: Path) -> float:
    import h5py
    import numpy as np

    with h5py.File(plain_h5) as file:
        reference = file["features"][()].astype(np.float64)
    with h5py.File(ours_h5) as file:
        found = file["features"][: len(reference)].astype(np.float64)
    dot = (reference * found).sum(axis=1)
    return float((dot / np.linalg.norm(reference, axis=1) / np.linalg.norm(found, axis=1)).min())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="resnet50")
    parser.add_argument("--weights", help="a .safetensors file")
    parser.add_argument("--source", type=Path, default=SOURCE, help="a real slide that is mirrored")
    parser.add_argument("--edge-px", type=int, default=12_000)
    parser.add_argument("--plain-tiles", type=int, default=1024, help="tiles that the plain loop encodes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--work", type=Path, help="folder that keeps the slides between runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    about = machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        weights = options.weights
        if weights is None and options.encoder not in WITH_WEIGHTS:
            weights = make_weights(options.encoder, folder / f"{options.encoder.replace(':', '-')}.safetensors")
        network = (options.encoder, weights, options.threads, options.device)
        sizes = (options.edge_px // 2, options.edge_px)
        slides = [make_slide(folder / f"mirrored-{edge}.tiff", edge_px=edge, source=options.source) for edge in sizes]
        # As the rule's job has it; the two references keep the default, which is the faster one for them.
        passive = {"OMP_WAIT_POLICY": "passive"}
        small, large = (str(slide) for slide in slides)
        tiles_small = str(tile(slides[0], folder))
        peak_small = alone(ours, small, tiles_small, str(folder / "small.h5"), *network, **passive)["peak_mb"]
        tiles_h5 = str(tile(slides[1], folder))
        one = alone(ours, large, tiles_h5, str(folder / "ours.h5"), *network, **passive)
        loop = alone(plain, large, tiles_h5, options.plain_tiles, str(folder / "plain.h5"), *network)
        again = alone(ours, large, tiles_h5, str(folder / "ours.h5"), *network, **passive)
        split = alone(parts, large, tiles_h5, *network)["per_tile_s"]
        further = make_slide(folder / "mirrored-further.tiff", edge_px=FURTHER_EDGE_PX, source=options.source)
        many = alone(shard, str(further), temporary, *network, **passive)
        n_tiles = _count(Path(tiles_h5))
        cosine = least_cosine(folder / "ours.h5", folder / "plain.h5")
    rate = n_tiles / statistics.mean([one["seconds"], again["seconds"]])
    overhead = many["per_further_slide_s"] - many["n_tiles"] * split["forward"]
    plain_rate, bare = loop["n_tiles"] / loop["seconds"], 1 / split["forward"]
    figures = {
        "tiles": n_tiles,
        "tiles_per_s": rate,
        "plain_loop_tiles_per_s": plain_rate,
        "speedup_over_plain_loop": rate / plain_rate,
        "bare_forward_tiles_per_s": bare,
        "share_of_bare_forward": rate / bare,
        "least_cosine": cosine,
        "further_slide_overhead_s": overhead,
        "preparation_s": one["preparation"],
        "peak_mb": max(one["peak_mb"], again["peak_mb"]),
        "peak_mb_half_edge": peak_small,
        "ms_per_tile": {name: 1e3 * value for name, value in split.items()},
        "machine": about,
    }
    runs = f"{n_tiles / one['seconds']:.1f} and {n_tiles / again['seconds']:.1f}"
    rows = [
        *about.items(),
        ("slide", f"{options.edge_px} px, {n_tiles} tiles; {options.encoder}, {one['arithmetic']}, {one['path']}"),
        *((f"{name} alone", f"{1e3 * value:.2f} ms per tile") for name, value in split.items()),
        (
            "histoweave",
            f"{rate:.1f} tiles/s ({runs}; {one['preparation']:.1f} s of preparation once per job not counted)",
        ),
        ("plain loop", f"{plain_rate:.1f} tiles/s over {loop['n_tiles']} tiles"),
        ("ratio", f"{rate / plain_rate:.2f}"),
        ("bare forward pass", f"{bare:.1f} tiles/s, of which reached {rate / bare:.0%}"),
        (
            "a further slide in a shard",
            f"{many['per_further_slide_s']:.2f} s for {many['n_tiles']} tiles, {overhead:.2f} s beyond their forward pass",
        ),
        ("least cosine to the plain loop", f"{cosine:.5f}"),
        ("peak memory", f"{figures['peak_mb']:.0f} MB ({peak_small:.0f} MB on a quarter of the area)"),
    ]
    show("features", rows, figures, options.json)


def _count(tiles_h5: Path) -> int:
    from histoweave.slides.store import read_tiles

    return len(read_tiles(tiles_h5).coords)


if __name__ == "__main__":
    main()
