"""Rule site_folds: folds of whole sites for the side check, or why there are none."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.config import Folds
        from histoweave.io import read_table, write_json, write_table
        from histoweave.site_check import site_check_folds

        patients = read_table(smk.input.patients)
        folds, how = site_check_folds(
            patients[patients["included"]],
            settings=Folds.model_validate(smk.params.settings),
            seed=smk.params.seed,
            where=smk.input.patients,
        )
        print(how["why"])
        write_json(smk.output.how, how)
        write_table(smk.output.folds, folds)


if __name__ == "__main__":
    main(snakemake)
