"""Rule explain_slides: attribution on the slides of a shard, as pictures and for QuPath, and what its tiles look like."""

from pathlib import Path

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.explain.explain_slides import explain_slides, explained_tiles
        from histoweave.explain.slide_morphology import look_at_slides
        from histoweave.explain.tables import read_folds
        from histoweave.explain.tile_choice import chosen_tiles
        from histoweave.storage.files import read_table

        tiles, paths = read_folds(smk.input.tiles), dict(smk.params.slides)
        patients = read_table(smk.input.patients, columns=["patient", "y_true", "called"]).set_index("patient")
        place = {
            "folder": Path(smk.output.overlays).parents[2],
            "shard": smk.wildcards.shard,
            "tiles_index": Path(smk.input.index),
            "code": smk.params.code,
        }
        explained = explained_tiles(tiles, patients["called"], slides=list(paths))
        explain_slides(explained, **place)
        top_tiles = smk.params.settings["top_tiles"]
        chosen = chosen_tiles(tiles, patients["y_true"], slides=list(paths), top_tiles=top_tiles, seed=smk.params.seed)
        look_at_slides(chosen, paths=paths, explained=set(explained["slide"]), **place)


if __name__ == "__main__":
    main(snakemake)
