"""Rule explain_morphology: what the tiles that speak for a class look like, beside other tiles of the same patients."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.explain.explain_morphology import summarise
        from histoweave.settings.evaluation import Evaluation
        from histoweave.storage.files import read_table, write_table
        from histoweave.storage.records import artefacts

        evaluation = Evaluation.handed_over(smk.params.evaluation)
        tables = summarise(
            artefacts(smk.input.indexes),
            slides=read_table(smk.input.slides, columns=["slide", "patient"]),
            patients=read_table(smk.input.patients, columns=["patient", "y_true", "top_tiles"]),
            classes=list(smk.params.classes),
            draws=evaluation.bootstrap,
            confidence=evaluation.confidence,
            seed=smk.params.seed,
        )
        for name, table in tables.items():
            write_table(smk.output[name], table)


if __name__ == "__main__":
    main(snakemake)
