"""Rule fusion_fold: fit one model on one fold, and predict with it."""

from pathlib import Path

from histoweave.mechanics.gpu_job import gpu_job


def main(smk):
    with gpu_job(smk):
        fit(smk)


def fit(smk):
    from histoweave.fusion.fusion_fold import run_fold
    from histoweave.mechanics.device import resolve_device
    from histoweave.settings.fusion import Fusion
    from histoweave.storage.files import read_table

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
        settings=Fusion.handed_over(smk.params.settings),
        seed=smk.params.seed,
        summary=smk.input.get("summary"),
        projected=smk.input.get("projected"),
        permutations=smk.params.permutations,
        device=str(resolve_device(smk.resources.device)),
        out_dir=Path(smk.output.model).parent,
        needs=needs,
    )


if __name__ == "__main__":
    main(snakemake)
