"""Rule extract_features: feature vectors of the tiles of the slides of a shard."""

from pathlib import Path

from histoweave.mechanics.gpu_job import gpu_job


def main(smk):
    with gpu_job(smk, spins=False):
        from histoweave.features.extract_features import extract_shard
        from histoweave.settings.encoder import TileEncoder
        from histoweave.settings.tiles import Tiles

        extract_shard(
            smk.params.slides,
            index=Path(smk.output[0]),
            tiles_index=Path(smk.input.tiles),
            encoder=TileEncoder.handed_over(smk.params.encoder),
            arithmetic=smk.params.arithmetic,
            precision=smk.params.precision,
            tiles=Tiles.handed_over(smk.params.tiles),
            on_error=smk.resources.on_error,
            code=smk.params.code,
            device=smk.resources.device,
            tile_batch=smk.resources.tile_batch,
            read_workers=smk.resources.read_workers,
        )


if __name__ == "__main__":
    main(snakemake)
