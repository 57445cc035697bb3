"""Rule fit_sae_fold: a dictionary without the test patients of a fold."""

from pathlib import Path

from histoweave.mechanics.gpu_job import gpu_job


def main(smk):
    with gpu_job(smk):
        from histoweave.mechanics.device import resolve_device
        from histoweave.sae.fit_sae import fit_fold_stage
        from histoweave.settings.sae import Sae

        fit_fold_stage(
            tokens=smk.input.tokens,
            images=smk.input.images,
            folds=smk.input.folds,
            fold=int(smk.wildcards.k),
            settings=Sae.handed_over(smk.params.settings),
            seed=smk.params.seed,
            device=resolve_device(smk.resources.device),
            folder=Path(smk.output.weights).parent,
        )


if __name__ == "__main__":
    main(snakemake)
