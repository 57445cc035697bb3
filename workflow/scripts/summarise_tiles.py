"""Rule summarise_tiles: number, mean and a sample of each patient's tiles."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.fusion.tile_summary import summarise, write_summary
        from histoweave.storage.files import read_table

        patients, slides = read_table(smk.input.patients), read_table(smk.input.slides)
        write_summary(smk.output[0], summarise(patients, slides, seed=smk.params.seed))


if __name__ == "__main__":
    main(snakemake)
