"""Rule explain_slides: attribution on the slides of a shard, as pictures and for QuPath."""

from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.explain.shard import explain_slides, explained_tiles
        from histoweave.explain.tables import read_folds
        from histoweave.io import read_table

        called = read_table(smk.input.patients, columns=["patient", "called"]).set_index("patient")["called"]
        explain_slides(
            explained_tiles(read_folds(smk.input.tiles), called, slides=list(smk.params.slides)),
            folder=Path(smk.output.overlays).parents[2],
            shard=smk.wildcards.shard,
            tiles_index=Path(smk.input.index),
            code=smk.params.code,
        )


if __name__ == "__main__":
    main(snakemake)
