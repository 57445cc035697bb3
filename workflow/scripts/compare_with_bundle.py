"""Rule compare_with_bundle: does an external cohort fit a bundle, and how far does it lie from training?"""

from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.apply.stage import compare
        from histoweave.apply_config import Apply
        from histoweave.io import read_table

        given = smk.input.keys()
        compare(
            Path(smk.input.bundle),
            patients=read_table(smk.input.patients),
            slides=read_table(smk.input.slides),
            expression=read_table(smk.input.expression) if "expression" in given else None,
            samples=read_table(smk.input.samples) if "samples" in given else None,
            unit=smk.params.unit,
            tiles=dict(smk.params.tiles),
            settings=Apply.model_validate(smk.params.settings),
            out={name: Path(smk.output[name]) for name in ("compatibility", "drift", "plausible")},
        )


if __name__ == "__main__":
    main(snakemake)
