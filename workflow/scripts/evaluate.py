"""Rule evaluate: metrics, intervals, paired comparisons and modality use."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.evaluation.choice import choose
        from histoweave.evaluation.clusters import with_clusters
        from histoweave.evaluation.evaluate import evaluate, pool
        from histoweave.evaluation.modality import modality_use
        from histoweave.evaluation.operating import operating_points
        from histoweave.settings.evaluation import Evaluation
        from histoweave.storage.files import read_json, read_table, write_table

        settings = Evaluation.handed_over(smk.params.settings)
        classes, seed = list(smk.params.classes), smk.params.seed
        patients = read_table(smk.input.patients)
        how_folded = read_json(smk.input.how_folded)
        tables = (with_clusters(read_table(path), patients=patients, how=how_folded) for path in smk.input.predictions)
        folds = list(zip(smk.params.models, tables, strict=True))
        predictions = pool(folds)
        permuted = pool(list(zip(smk.params.models, map(read_table, smk.input.modality_use), strict=True)))
        how = {
            "classes": classes,
            "settings": settings,
            "seed": seed,
            "order": list(dict.fromkeys(smk.params.models)),
            "modalities": list(smk.params.modalities),
        }
        tables = evaluate(predictions, patients=patients, **how)
        tables["choice"] = choose(predictions, **how)
        tables["modality_use"] = modality_use(predictions, permuted, classes=classes, settings=settings, seed=seed)
        tables["predictions"] = predictions
        tables |= operating_points(
            folds, classes=classes, modalities=list(smk.params.modalities), confidence=settings.confidence
        )
        for name, table in tables.items():
            write_table(smk.output[name], table)


if __name__ == "__main__":
    main(snakemake)
