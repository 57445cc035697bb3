"""Rule project_tiles: the transform of each fold of an arm, and what it makes of every tile."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.fusion.projection import project
        from histoweave.fusion.tile_summary import read_summary
        from histoweave.settings.fusion import Fusion
        from histoweave.storage.files import read_table

        folds = read_table(smk.input.folds)
        if "shuffle" in folds:
            folds = folds[folds["shuffle"] == int(smk.wildcards.arm.rpartition("shuffle")[2])]
        project(
            read_summary(smk.input.summary),
            read_table(smk.input.slides),
            folds,
            settings=Fusion.handed_over(smk.params.settings),
            seed=smk.params.seed,
            out=list(smk.output),
        )


if __name__ == "__main__":
    main(snakemake)
