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
        from histoweave.report.applied_json import write_applied_json

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
        inputs = shared_inputs(inputs, names)
        write_applied(inputs, smk.output.html)
        write_applied_json(inputs, smk.output.json)
        for path in smk.output:
            check_shared(path, names)


if __name__ == "__main__":
    main(snakemake)
