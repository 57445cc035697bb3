"""Rule explain_concepts: which concepts' tiles carry the calls, and with which gene sets they go together."""

from pathlib import Path

from histoweave.mechanics.gpu_job import gpu_job


def main(smk):
    with gpu_job(smk):
        explain(smk)


def explain(smk):
    from histoweave.explain.explain_concepts import explain_concepts
    from histoweave.explain.tables import read_folds
    from histoweave.mechanics.device import resolve_device
    from histoweave.settings.evaluation import Evaluation
    from histoweave.storage.files import write_table

    tables = explain_concepts(
        **{name: read_folds(smk.input[name]) for name in ("tiles", "genes", "predictions")},
        dictionary=Path(smk.input.sae[0]).parent,
        tokens=list(smk.input.tokens),
        gene_sets=smk.input.get("gene_sets"),
        classes=list(smk.params.classes),
        evaluation=Evaluation.handed_over(smk.params.evaluation),
        seed=smk.params.seed,
        device=resolve_device(smk.resources.device),
    )
    for name, table in tables.items():
        write_table(smk.output[name], table)


if __name__ == "__main__":
    main(snakemake)
