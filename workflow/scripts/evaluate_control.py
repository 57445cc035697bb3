"""Rule evaluate_control: the same metrics on shuffled labels."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.config import Evaluation
        from histoweave.evaluation.clusters import with_clusters
        from histoweave.evaluation.evaluate import evaluate, pool
        from histoweave.io import read_json, read_table, write_table

        patients = read_table(smk.input.patients)
        predictions = pool(list(zip(smk.params.models, map(read_table, smk.input.predictions), strict=True)))
        predictions = with_clusters(predictions, patients=patients, how=read_json(smk.input.how_folded))
        metrics = evaluate(
            predictions,
            patients=patients,
            classes=list(smk.params.classes),
            settings=Evaluation.model_validate(smk.params.settings),
            seed=smk.params.seed,
            order=list(dict.fromkeys(smk.params.models)),
            modalities=list(smk.params.modalities),
        )["metrics"]
        write_table(smk.output.predictions, predictions)
        write_table(smk.output.metrics, metrics[metrics["scope"] == "pooled"])


if __name__ == "__main__":
    main(snakemake)
