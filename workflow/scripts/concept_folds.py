"""Rule concept_folds: split the patients of a cohort of cells, or of slides."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.concepts.concept_folds import write_folds
        from histoweave.settings.folds import Folds

        write_folds(
            smk.input.images, smk.output[0], settings=Folds.handed_over(smk.params.settings), seed=smk.params.seed
        )


if __name__ == "__main__":
    main(snakemake)
