"""Rule explain_fold: why the model of a fold calls its test patients as it does."""

from pathlib import Path

from histoweave.mechanics.gpu_job import gpu_job


def main(smk):
    with gpu_job(smk):
        explain(smk)


def explain(smk):
    from histoweave.explain.explain_fold import explain_fold
    from histoweave.mechanics.device import resolve_device
    from histoweave.settings.explain import Explain
    from histoweave.storage.files import read_table

    explain_fold(
        k=int(smk.wildcards.k),
        folder=Path(smk.input.model[0]).parent,
        other_folder=Path(smk.input.other[0]).parent,
        patients=read_table(smk.input.patients),
        folds=read_table(smk.input.folds),
        slides=read_table(smk.input.slides),
        expression=read_table(smk.input.expression) if "expression" in smk.input.keys() else None,
        settings=Explain.handed_over(smk.params.settings),
        seed=smk.params.seed,
        projected=smk.input.get("projected"),
        other_projected=smk.input.get("other_projected"),
        device=str(resolve_device(smk.resources.device)),
        out_dir=Path(smk.output.tiles).parent,
    )


if __name__ == "__main__":
    main(snakemake)
