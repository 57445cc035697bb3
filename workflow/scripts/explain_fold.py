"""Rule explain_fold: why the model of a fold calls its test patients as it does."""

from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.lease import lease

        # Before torch is imported, which looks for devices once.
        with lease(smk.resources.gpu, per_device=smk.resources.jobs_per_gpu):
            explain(smk)


def explain(smk):
    from histoweave.device import resolve_device
    from histoweave.explain.fold import explain_fold
    from histoweave.explain_config import Explain
    from histoweave.io import read_table

    explain_fold(
        k=int(smk.wildcards.k),
        folder=Path(smk.input.model[0]).parent,
        other_folder=Path(smk.input.other[0]).parent,
        patients=read_table(smk.input.patients),
        folds=read_table(smk.input.folds),
        slides=read_table(smk.input.slides),
        expression=read_table(smk.input.expression) if "expression" in smk.input.keys() else None,
        settings=Explain.model_validate(smk.params.settings),
        seed=smk.params.seed,
        device=str(resolve_device(smk.resources.device)),
        out_dir=Path(smk.output.tiles).parent,
    )


if __name__ == "__main__":
    main(snakemake)
