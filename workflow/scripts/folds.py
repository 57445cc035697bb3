"""Rule folds: the cross-validation."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.config import Folds
        from histoweave.folds import make_folds
        from histoweave.io import read_table, write_json, write_table

        settings = Folds.model_validate(smk.params.settings)
        patients = read_table(smk.input.patients)
        folds, how = make_folds(
            patients[patients["included"]],
            settings=settings,
            seed=smk.params.seed,
            where=smk.input.patients,
        )
        write_json(smk.output.how, how)
        write_table(smk.output.folds, folds)


if __name__ == "__main__":
    main(snakemake)
