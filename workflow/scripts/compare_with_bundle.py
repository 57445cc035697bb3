"""Rule compare_with_bundle: does an external cohort fit a bundle, and how far does it lie from training?"""

from pathlib import Path

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.apply.compare_with_bundle import compare
        from histoweave.settings.apply import Apply
        from histoweave.storage.files import read_table

        given = smk.input.keys()
        compare(
            Path(smk.input.bundle),
            patients=read_table(smk.input.patients),
            slides=read_table(smk.input.slides),
            expression=read_table(smk.input.expression) if "expression" in given else None,
            samples=read_table(smk.input.samples) if "samples" in given else None,
            unit=smk.params.unit,
            tiles=dict(smk.params.tiles),
            settings=Apply.handed_over(smk.params.settings),
            out={name: Path(smk.output[name]) for name in ("compatibility", "drift", "plausible")},
        )


if __name__ == "__main__":
    main(snakemake)
