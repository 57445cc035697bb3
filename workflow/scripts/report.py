"""Rule report: the figures, and the page that holds everything."""

from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.io import read_table, sha256_of, write_text
        from histoweave.report.figures import draw_figures
        from histoweave.report.inputs import ReportInputs, read_tables
        from histoweave.report.page import write_report

        given = dict(smk.input.items())
        several = {name: given.pop(name, []) for name in ("histories", "sources", "slide_indexes")}
        several = {name: [one] if isinstance(one, str) else list(one) for name, one in several.items()}
        histories: dict[str, list[Path]] = {}
        for path in map(Path, several["histories"]):
            histories.setdefault(path.parent.parent.name, []).append(path)
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
            input_sha256={path: sha256_of(path) for path in several["sources"]},
            code=dict(smk.params.stages),
            **{name: Path(path) for name, path in given.items()},
        )
        draw_figures(tables=read_tables(inputs), out_dir=inputs.figures)
        write_text(smk.output.summary, read_table(inputs.metrics).to_csv(sep="\t", index=False))
        write_report(inputs, smk.output.html)


if __name__ == "__main__":
    main(snakemake)
