"""Rule control_folds: shuffled labels, and the cross-validation of each shuffle."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.config import Folds
        from histoweave.io import read_json, read_table, write_json, write_table
        from histoweave.shuffles import make_shuffles

        patients = read_table(smk.input.patients)
        # Grouped as the folds of the true labels are.
        settings = Folds.model_validate(smk.params.settings)
        settings = settings.model_copy(update={"group_by": read_json(smk.input.how)["group_by"]})
        labels, folds, how = make_shuffles(
            patients[patients["included"]],
            shuffles=smk.params.shuffles,
            settings=settings,
            seed=smk.params.seed,
            where=smk.input.patients,
        )
        write_json(smk.output.how, how)
        write_table(smk.output.labels, labels)
        write_table(smk.output.folds, folds)


if __name__ == "__main__":
    main(snakemake)
