rule report:
    input:
        unpack(FITTING(by_wildcards(REPORT.inputs))),
    output:
        # A file per figure that a section declares (histoweave.pages.report.sections).
        **{
            figure.name: report(
                f"results/{{cohort}}/figures/{figure.name}.svg",
                category=figure.category,
                caption=f"../workflow/report/{figure.name}.rst",
                labels={"cohort": "{cohort}", "what": figure.what},
            )
            for figure in REPORT.figures()
        },
        html=report(
            paths.REPORT,
            category="Report",
            caption="../workflow/report/report.rst",
            labels={"cohort": "{cohort}", "what": "the whole report on one page"},
        ),
        summary=report(
            paths.METRICS_TSV,
            category="Results",
            caption="../workflow/report/tables.rst",
            labels={"cohort": "{cohort}", "what": "metrics as a table"},
        ),
        json=report(
            paths.REPORT_JSON,
            category="Results",
            caption="../workflow/report/report_json.rst",
            labels={"cohort": "{cohort}", "what": "the report for programs"},
        ),
    log:
        "results/{cohort}/logs/report.log",
    benchmark:
        "results/{cohort}/benchmarks/report.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(3000, per_input_mb=20),
        runtime=minutes(30),
    params:
        # What the run was asked to do. How the machine did it is left out: it changes nothing.
        config=by_wildcards(WIRING.shown_config),
        models=by_wildcards(WIRING.models),
        classes=by_wildcards(WIRING.classes),
        benchmarks="results/{cohort}/benchmarks",
        thumbnails="results/{cohort}/tiles",
        code=code_hash(
            "histoweave.pages.report.page",
            "histoweave.pages.report.as_json",
            "histoweave.privacy.share",
        ),
        privacy=PRIVACY,
        overlays=by_wildcards(REPORT.overlays),
        explained=by_wildcards(REPORT.shown_model),
        links=by_wildcards(REPORT.links),
        stages=WIRING.code_of_stages(),
    script:
        "../workflow/scripts/report.py"
