"""Rules folds and control_folds: the cross-validation, on the true or on shuffled labels."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.config import Folds
        from histoweave.folds import make_folds, permute_labels
        from histoweave.io import read_json, read_table, write_json, write_table

        settings = Folds.model_validate(smk.params.settings)
        patients = read_table(smk.input.patients)
        if "patients" in smk.output.keys():  # the negative control
            patients = permute_labels(patients, seed=smk.params.seed)
            write_table(smk.output.patients, patients)
            # Shuffled labels are split as the true ones were, whatever they would allow by themselves.
            settings = settings.model_copy(update={"group_by": read_json(smk.input.main)["group_by"]})
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
