"""Rule score_concepts: what concepts predict, beside the raw embedding and other baselines."""

from pathlib import Path

from histoweave.mechanics.gpu_job import gpu_job


def main(smk):
    with gpu_job(smk):
        score(smk)


def score(smk):
    from histoweave.concepts.cohort_data import read_images
    from histoweave.concepts.rejected import rejected_of
    from histoweave.concepts.score_concepts import score_stage
    from histoweave.mechanics.device import resolve_device
    from histoweave.settings.concepts import Concepts
    from histoweave.settings.evaluation import Evaluation
    from histoweave.settings.folds import Folds

    dictionaries = [Path(path).parent for path in smk.input.sae]
    score_stage(
        read_images(smk.input.images, smk.input.tokens),
        folds=smk.input.folds,
        dictionaries=list(zip(dictionaries, smk.input.activations, strict=True)),
        targets=smk.params.targets,
        rejected=rejected_of(smk.input.get("review"), dictionaries[0]),
        settings=Concepts.handed_over(smk.params.settings),
        fold_settings=Folds.handed_over(smk.params.folds),
        evaluation=Evaluation.handed_over(smk.params.evaluation),
        seed=smk.params.seed,
        device=resolve_device(smk.resources.device),
        out=dict(smk.output.items()),
    )


if __name__ == "__main__":
    main(snakemake)
