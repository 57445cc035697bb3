"""Rule site_fold: fit a model with whole sites left out, and predict these."""

from histoweave.mechanics.gpu_job import gpu_job


def main(smk):
    with gpu_job(smk):
        fit(smk)


def fit(smk):
    from histoweave.fusion.site_fold import site_fold
    from histoweave.mechanics.device import resolve_device
    from histoweave.settings.fusion import Fusion
    from histoweave.storage.files import read_table, write_table

    table, reason = site_fold(
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
        device=str(resolve_device(smk.resources.device)),
    )
    if reason:
        print(f"no predictions: {reason}")
    write_table(smk.output[0], table)


if __name__ == "__main__":
    main(snakemake)
