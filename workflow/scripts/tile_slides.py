"""Rule tile_slides: tissue, contours and tile coordinates of the slides of a shard."""

from pathlib import Path

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.settings.tiles import Tiles
        from histoweave.tiles.tile_slides import tile_shard

        tile_shard(
            smk.params.slides,
            index=Path(smk.output[0]),
            settings=Tiles.handed_over(smk.params.settings),
            on_error=smk.resources.on_error,
            code=smk.params.code,
            workers=smk.threads,
        )


if __name__ == "__main__":
    main(snakemake)
