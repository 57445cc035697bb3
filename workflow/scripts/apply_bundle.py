"""Rule apply_bundle: predict an external cohort with frozen models, and score where there are labels."""

from pathlib import Path

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.apply.apply_bundle import apply
        from histoweave.settings.apply import Apply
        from histoweave.settings.evaluation import Evaluation
        from histoweave.storage.files import read_table

        apply(
            Path(smk.input.bundle),
            patients=read_table(smk.input.patients),
            slides=read_table(smk.input.slides),
            expression=read_table(smk.input.expression) if "expression" in smk.input.keys() else None,
            compatibility_json=Path(smk.input.compatibility),
            judged=read_table(smk.input.plausible),
            settings=Apply.handed_over(smk.params.settings),
            evaluation=Evaluation.handed_over(smk.params.evaluation),
            seed=smk.params.seed,
            out={name: Path(smk.output[name]) for name in ("predictions", "members", "metrics", "coverage")},
        )


if __name__ == "__main__":
    main(snakemake)
