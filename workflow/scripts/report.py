"""Rule report: the figures, and the page that holds everything."""

import dataclasses
from pathlib import Path

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.pages.report.as_json import write_report_json
        from histoweave.pages.report.figures import draw_figures
        from histoweave.pages.report.inputs import ReportInputs, of_part, read_tables
        from histoweave.pages.report.page import write_report
        from histoweave.privacy.share import check_shared, cohort_pseudonyms, shared_inputs
        from histoweave.privacy.user_files import read_files
        from histoweave.storage.files import sha256_of, write_text

        given = {name: [files] if isinstance(files, str) else list(files) for name, files in smk.input.items()}
        lists = ("histories", "sources", "slide_indexes", "overlay_indexes")
        several = {name: given.pop(name, []) for name in lists}
        parts = {part: of_part(part, given) for part in ("explain", "decide")}
        single = {name: Path(files[0]) for name, files in given.items() if name.partition("_")[0] not in parts}
        fields = {field.name for field in dataclasses.fields(ReportInputs)}
        more = {name: [single.pop(name)] for name in single.keys() - fields}
        histories: dict[str, list[Path]] = {}
        for path in map(Path, several["histories"]):
            histories.setdefault(path.parent.parent.name, []).append(path)
        overlays = sorted(Path(smk.params.overlays).glob("*.png")) if smk.params.overlays else []
        inputs = ReportInputs(
            cohort=smk.wildcards.cohort,
            models=list(smk.params.models),
            classes=list(smk.params.classes),
            config=smk.params.config,
            figures=Path(smk.output.metrics).parent,
            benchmarks=Path(smk.params.benchmarks),
            histories=histories,
            slide_indexes=list(map(Path, several["slide_indexes"])),
            thumbnails={path.stem: path for path in sorted(Path(smk.params.thumbnails).glob("*.png"))},
            overlays={path.stem: path for path in overlays},
            links=dict(smk.params.links),
            explained=smk.params.explained,
            input_sha256={path: sha256_of(path) for path in several["sources"]},
            code=dict(smk.params.stages),
            more=more,
            **parts,
            **single,
        )
        private = smk.params.privacy
        names = cohort_pseudonyms(
            private,
            patients=inputs.patients,
            slides=inputs.slides,
            samples=inputs.expression_report and inputs.expression_report.with_name("samples.parquet"),
            files=read_files(smk.config, [inputs.cohort]) if private else None,
        )
        inputs = shared_inputs(inputs, names)
        tables = read_tables(inputs)
        draw_figures(tables=tables, out_dir=inputs.figures)
        write_text(smk.output.summary, tables.metrics.to_csv(sep="\t", index=False))
        write_report_json(inputs, smk.output.json)
        write_report(inputs, smk.output.html)
        for path in smk.output:
            check_shared(path, names)


if __name__ == "__main__":
    main(snakemake)
