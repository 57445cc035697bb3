"""Rule explain_morphology: what the tiles that speak for a class look like, beside other tiles of the same patients."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.config import Evaluation
        from histoweave.explain.morphology import summarise
        from histoweave.io import read_table, write_table
        from histoweave.shards import artefacts

        evaluation = Evaluation.model_validate(smk.params.evaluation)
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
