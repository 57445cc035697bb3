"""Rule provenance: the cohort's results as a Workflow Run RO-Crate."""

from pathlib import Path

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.pages.crate import CrateInputs, write_crate
        from histoweave.pages.kit.versions import package_versions
        from histoweave.privacy.share import check_shared, cohort_pseudonyms
        from histoweave.privacy.user_files import read_files
        from histoweave.storage.files import read_table

        given = {name: [one] if isinstance(one, str) else list(one) for name, one in smk.input.items()}
        files = {name: given.get(name, []) for name in ("sources", "results", "pages")}
        slides = next((path for path in files["results"] if path.endswith("/cohort/slides.parquet")), None)
        private = smk.params.privacy
        names = cohort_pseudonyms(
            private,
            patients=next(iter(given.get("patients", [])), None),
            slides=slides,
            images=map(read_table, given.get("images", [])),
            kind="cell" if smk.params.config.get("sae", {}).get("source", "cells") == "cells" else "slide",
            files=read_files(smk.config, [smk.wildcards.cohort]) if private else None,
        )
        inputs = CrateInputs(
            cohort=smk.wildcards.cohort,
            root=Path(smk.output.crate).parent,
            **files,
            config=smk.params.config,
            description=smk.params.description,
            versions=package_versions(),
            code=dict(smk.params.stages),
            pseudonyms=names,
        )
        write_crate(inputs, smk.output.crate)
        check_shared(smk.output.crate, names)


if __name__ == "__main__":
    main(snakemake)
