"""Rule control_folds: shuffled labels, and the cross-validation of each shuffle."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.cohort.shuffles import make_shuffles
        from histoweave.settings.folds import Folds
        from histoweave.storage.files import read_json, read_table, write_json, write_table

        patients = read_table(smk.input.patients)
        # Grouped as the folds of the true labels are.
        settings = Folds.handed_over(smk.params.settings)
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
