"""Rule folds: the cross-validation."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.cohort.folds import make_folds
        from histoweave.settings.folds import Folds
        from histoweave.storage.files import read_table, write_json, write_table

        settings = Folds.handed_over(smk.params.settings)
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
