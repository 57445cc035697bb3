"""Rule concept_folds: split the patients of a cohort of cells, or of slides."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.concepts.splits import write_folds
        from histoweave.config import Folds

        write_folds(
            smk.input.images, smk.output[0], settings=Folds.model_validate(smk.params.settings), seed=smk.params.seed
        )


if __name__ == "__main__":
    main(snakemake)
