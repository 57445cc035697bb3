"""Rule tile_slide: tissue, contours and tile coordinates of one slide."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.config import Tiles
        from histoweave.slides.tiling import tile_slide

        status = tile_slide(
            slide=smk.wildcards.slide,
            path=smk.input.slide,
            mpp=smk.params.mpp,
            settings=Tiles.model_validate(smk.params.settings),
            on_error=smk.params.on_error,
            out_h5=smk.output.tiles,
            out_geojson=smk.output.contours,
            out_png=smk.output.thumbnail,
        )
        print(f"{smk.wildcards.slide}: {status}")


if __name__ == "__main__":
    main(snakemake)
