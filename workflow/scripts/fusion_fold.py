"""Rule fusion_fold: fit one model on one fold, and predict with it."""

from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.lease import lease

        # Before torch is imported, which looks for devices once.
        with lease(smk.resources.gpu, per_device=smk.resources.jobs_per_gpu):
            fit(smk)


def fit(smk):
    from histoweave.config import Fusion
    from histoweave.device import resolve_device
    from histoweave.fusion.fold import run_fold
    from histoweave.io import read_table

    needs = {
        name.removeprefix("needs_"): Path(path).parent for name, path in smk.input.items() if name.startswith("needs_")
    }
    run_fold(
        model=smk.wildcards.model,
        k=int(smk.wildcards.k),
        patients=read_table(smk.input.patients),
        folds=read_table(smk.input.folds),
        slides=read_table(smk.input.slides),
        expression=read_table(smk.input.expression) if "expression" in smk.input.keys() else None,
        classes=list(smk.params.classes),
        settings=Fusion.model_validate(smk.params.settings),
        seed=smk.params.seed,
        permutations=smk.params.permutations,
        device=str(resolve_device(smk.resources.device)),
        out_dir=Path(smk.output.model).parent,
        needs=needs,
    )


if __name__ == "__main__":
    main(snakemake)
