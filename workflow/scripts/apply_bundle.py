"""Rule apply_bundle: predict an external cohort with frozen models, and score where there are labels."""

from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.apply.stage import apply
        from histoweave.apply_config import Apply
        from histoweave.config import Evaluation
        from histoweave.io import read_table

        apply(
            Path(smk.input.bundle),
            patients=read_table(smk.input.patients),
            slides=read_table(smk.input.slides),
            expression=read_table(smk.input.expression) if "expression" in smk.input.keys() else None,
            compatibility_json=Path(smk.input.compatibility),
            judged=read_table(smk.input.plausible),
            settings=Apply.model_validate(smk.params.settings),
            evaluation=Evaluation.model_validate(smk.params.evaluation),
            seed=smk.params.seed,
            out={name: Path(smk.output[name]) for name in ("predictions", "members", "metrics", "coverage")},
        )


if __name__ == "__main__":
    main(snakemake)
