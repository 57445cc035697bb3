"""Rule score_concepts: what concepts predict, beside the raw embedding and other baselines."""

from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.lease import lease

        # Before torch is imported, which looks for devices once.
        with lease(smk.resources.gpu, per_device=smk.resources.jobs_per_gpu):
            import torch

            torch.set_num_threads(smk.threads)
            score(smk)


def score(smk):
    from histoweave.cell_config import Concepts
    from histoweave.concepts.cohort_data import read_images
    from histoweave.concepts.score_stage import score_stage
    from histoweave.config import Evaluation, Folds
    from histoweave.device import resolve_device

    dictionaries = [Path(path).parent for path in smk.input.sae]
    review = smk.input.get("review")
    score_stage(
        read_images(smk.input.images, smk.input.tokens),
        folds=smk.input.folds,
        dictionaries=list(zip(dictionaries, smk.input.activations, strict=True)),
        targets=smk.params.targets,
        rejected=rejected(review, dictionaries[0]) if review else (),
        settings=Concepts.model_validate(smk.params.settings),
        fold_settings=Folds.model_validate(smk.params.folds),
        evaluation=Evaluation.model_validate(smk.params.evaluation),
        seed=smk.params.seed,
        device=resolve_device(smk.resources.device),
        out=dict(smk.output.items()),
    )


def rejected(review, dictionary):
    from histoweave.concepts.review import rejected_concepts
    from histoweave.sae.format import load, sae_sha256

    sae = load(dictionary)
    return rejected_concepts(review, sae_sha256=sae_sha256(sae), n_latents=sae.n_latents)


if __name__ == "__main__":
    main(snakemake)
