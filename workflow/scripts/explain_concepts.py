"""Rule explain_concepts: which concepts' tiles carry the calls, and with which gene sets they go together."""

from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.lease import lease

        # Before torch is imported, which looks for devices once.
        with lease(smk.resources.gpu, per_device=smk.resources.jobs_per_gpu):
            import torch

            torch.set_num_threads(smk.threads)
            explain(smk)


def explain(smk):
    from histoweave.config import Evaluation
    from histoweave.device import resolve_device
    from histoweave.explain.concept_stage import explain_concepts
    from histoweave.explain.tables import read_folds
    from histoweave.io import write_table

    tables = explain_concepts(
        **{name: read_folds(smk.input[name]) for name in ("tiles", "genes", "predictions")},
        dictionary=Path(smk.input.sae[0]).parent,
        tokens=list(smk.input.tokens),
        gene_sets=smk.input.get("gene_sets"),
        classes=list(smk.params.classes),
        evaluation=Evaluation.model_validate(smk.params.evaluation),
        seed=smk.params.seed,
        device=resolve_device(smk.resources.device),
    )
    for name, table in tables.items():
        write_table(smk.output[name], table)


if __name__ == "__main__":
    main(snakemake)
