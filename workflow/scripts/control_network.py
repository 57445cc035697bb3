"""Rule control_network: a neural model, or one that is made of others, on one shuffle of the labels."""

from histoweave.mechanics.gpu_job import gpu_job


def main(smk):
    with gpu_job(smk):
        fit(smk)


def fit(smk):
    from histoweave.fusion.models import needed
    from histoweave.fusion.null import refit_shuffles
    from histoweave.mechanics.device import resolve_device
    from histoweave.settings.fusion import Fusion
    from histoweave.storage.files import read_table, write_table

    model, shuffle = smk.wildcards.model, int(smk.wildcards.n)
    needs = {name.removeprefix("needs_"): path for name, path in smk.input.items() if name.startswith("needs_")}
    if needs:
        table = needed(model, "combine")({name: read_table(path) for name, path in needs.items()})
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
            settings=Fusion.handed_over(smk.params.settings),
            seed=smk.params.seed,
            summary=smk.input.get("summary"),
            projected=smk.input.get("projected"),
            device=str(resolve_device(smk.resources.device)),
        )
    write_table(smk.output.predictions, table)


if __name__ == "__main__":
    main(snakemake)
