"""Rule applied_report: the page of an external cohort."""

from pathlib import Path

from histoweave.log import redirect

TABLES = ("predictions", "compatibility", "drift", "metrics", "coverage")


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.io import sha256_of
        from histoweave.privacy.share import check_shared, cohort_pseudonyms, shared_inputs
        from histoweave.privacy.user_files import read_files
        from histoweave.report.applied import write_applied
        from histoweave.report.applied_inputs import AppliedInputs

        private = smk.params.privacy
        names = cohort_pseudonyms(
            private,
            patients=smk.input.patients,
            slides=smk.input.slides,
            files=read_files(smk.config, [smk.wildcards.target]) if private else None,
        )
        inputs = AppliedInputs(
            cohort=smk.wildcards.target,
            trained_on=smk.wildcards.trained,
            level=smk.params.level,
            config=smk.params.config,
            input_sha256={smk.input.bundle: sha256_of(smk.input.bundle)},
            code=dict(smk.params.stages),
            **{name: Path(smk.input[name]) for name in TABLES},
        )
        write_applied(shared_inputs(inputs, names), smk.output.html)
        check_shared(smk.output.html, names)


if __name__ == "__main__":
    main(snakemake)
