"""Rule fit_sae_fold: a dictionary without the test patients of a fold."""

from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.lease import lease

        # Before torch is imported, which looks for devices once.
        with lease(smk.resources.gpu, per_device=smk.resources.jobs_per_gpu):
            import torch

            torch.set_num_threads(smk.threads)
            from histoweave.cell_config import Sae
            from histoweave.device import resolve_device
            from histoweave.sae.stage import fit_fold_stage

            fit_fold_stage(
                tokens=smk.input.tokens,
                images=smk.input.images,
                folds=smk.input.folds,
                fold=int(smk.wildcards.k),
                settings=Sae.model_validate(smk.params.settings),
                seed=smk.params.seed,
                device=resolve_device(smk.resources.device),
                folder=Path(smk.output.weights).parent,
            )


if __name__ == "__main__":
    main(snakemake)
