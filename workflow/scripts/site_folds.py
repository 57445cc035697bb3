"""Rule site_folds: folds of whole sites for the side check, or why there are none."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.cohort.site_folds import site_check_folds
        from histoweave.settings.folds import Folds
        from histoweave.storage.files import read_table, write_json, write_table

        patients = read_table(smk.input.patients)
        folds, how = site_check_folds(
            patients[patients["included"]],
            settings=Folds.handed_over(smk.params.settings),
            seed=smk.params.seed,
            where=smk.input.patients,
        )
        print(how["why"])
        write_json(smk.output.how, how)
        write_table(smk.output.folds, folds)


if __name__ == "__main__":
    main(snakemake)
