"""Rule tile_slides: tissue, contours and tile coordinates of the slides of a shard."""

from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.config import Tiles
        from histoweave.slides.shard import tile_shard

        tile_shard(
            smk.params.slides,
            index=Path(smk.output[0]),
            settings=Tiles.model_validate(smk.params.settings),
            on_error=smk.resources.on_error,
            code=smk.params.code,
            workers=smk.threads,
        )


if __name__ == "__main__":
    main(snakemake)
