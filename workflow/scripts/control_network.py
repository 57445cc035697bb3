"""Rule control_network: a neural model, or one that is made of others, on one shuffle of the labels."""

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
    from histoweave.fusion.null import COMBINED, refit_shuffles
    from histoweave.io import read_table, write_table

    model, shuffle = smk.wildcards.model, int(smk.wildcards.n)
    needs = {name.removeprefix("needs_"): path for name, path in smk.input.items() if name.startswith("needs_")}
    if needs:
        table = COMBINED[model]({name: read_table(path) for name, path in needs.items()})
    else:
        labels = read_table(smk.input.labels)
        table = refit_shuffles(
            model,
            labels=labels[labels["shuffle"] == shuffle],
            folds=read_table(smk.input.folds),
            patients=read_table(smk.input.patients),
            slides=read_table(smk.input.slides),
            expression=read_table(smk.input.expression) if "expression" in smk.input.keys() else None,
            classes=list(smk.params.classes),
            settings=Fusion.model_validate(smk.params.settings),
            seed=smk.params.seed,
            device=str(resolve_device(smk.resources.device)),
        )
    write_table(smk.output.predictions, table)


if __name__ == "__main__":
    main(snakemake)
