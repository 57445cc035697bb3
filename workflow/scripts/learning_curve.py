"""Rule learning_curve: scores over the number of patients, and what the next ones are expected to bring."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.decide.learning_curve import learning, with_full
        from histoweave.evaluation.clusters import with_clusters
        from histoweave.fusion import catalog
        from histoweave.settings.evaluation import Evaluation
        from histoweave.storage.files import read_json, read_table, write_table

        models = list(smk.params.models)
        known = {"patients": read_table(smk.input.patients), "how": read_json(smk.input.how_folded)}
        curves = {}
        for model in dict.fromkeys(models):
            own = [i for i, name in enumerate(models) if name == model]
            parts, full = ([read_table(files[i]) for i in own] for files in (smk.input.parts, smk.input.full))
            curves[model] = with_clusters(with_full(parts, full), **known)
        scores, fits = learning(
            curves,
            classes=list(smk.params.classes),
            modalities=list(smk.params.modalities),
            more_patients=smk.params.more_patients,
            titles={model: catalog.get(model).title for model in curves},
            settings=Evaluation.handed_over(smk.params.evaluation),
            seed=smk.params.seed,
        )
        print("\n".join(fits["says"]))
        write_table(smk.output.learning, scores)
        write_table(smk.output.learning_fit, fits)


if __name__ == "__main__":
    main(snakemake)
