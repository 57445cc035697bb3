"""Rule provenance: the cohort's results as a Workflow Run RO-Crate."""

from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.crate import CrateInputs, write_crate
        from histoweave.privacy.share import check_shared, tissue_pseudonyms
        from histoweave.report.versions import package_versions

        files = {name: smk.input[name] for name in ("sources", "results", "pages")}
        files = {name: [one] if isinstance(one, str) else list(one) for name, one in files.items()}
        slides = next((path for path in files["results"] if path.endswith("/cohort/slides.parquet")), None)
        names = tissue_pseudonyms(smk.params.privacy, patients=smk.input.patients, slides=slides)
        inputs = CrateInputs(
            cohort=smk.wildcards.cohort,
            root=Path(smk.output.crate).parent,
            **files,
            config=smk.params.config,
            versions=package_versions(),
            code=dict(smk.params.stages),
            pseudonyms=names,
        )
        write_crate(inputs, smk.output.crate)
        check_shared(smk.output.crate, names)


if __name__ == "__main__":
    main(snakemake)
