"""Rule applied_report: the page of an external cohort."""

from pathlib import Path

from histoweave.mechanics.job import job

TABLES = ("predictions", "compatibility", "drift", "metrics", "coverage")


def main(smk):
    with job(smk):
        from histoweave.pages.applied.as_json import write_applied_json
        from histoweave.pages.applied.inputs import AppliedInputs
        from histoweave.pages.applied.page import write_applied
        from histoweave.privacy.share import check_shared, cohort_pseudonyms, shared_inputs
        from histoweave.privacy.user_files import read_files
        from histoweave.storage.files import sha256_of

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
