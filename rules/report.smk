rule report:
    input:
        unpack(lambda wildcards: REPORT.inputs(wildcards.cohort)),
    output:
        html=report(
            "results/{cohort}/report.html",
            category="Report",
            caption="../workflow/report/report.rst",
            labels={"what": "the whole report on one page"},
        ),
        summary=report(
            "results/{cohort}/metrics.tsv",
            category="Results",
            caption="../workflow/report/tables.rst",
            labels={"what": "metrics as a table"},
        ),
        json=report(
            "results/{cohort}/report.json",
            category="Results",
            caption="../workflow/report/report_json.rst",
            labels={"what": "the report for programs"},
        ),
        cohort_flow=report(
            "results/{cohort}/figures/cohort_flow.svg",
            category="Cohort",
            caption="../workflow/report/cohort_flow.rst",
            labels={"what": "cohort flow"},
        ),
        folds=report(
            "results/{cohort}/figures/folds.svg",
            category="Cohort",
            caption="../workflow/report/folds.rst",
            labels={"what": "fold composition"},
        ),
        metrics=report(
            "results/{cohort}/figures/metrics.svg",
            category="Results",
            caption="../workflow/report/metrics.rst",
            labels={"what": "metrics with intervals"},
        ),
        pr_curves=report(
            "results/{cohort}/figures/pr_curves.svg",
            category="Results",
            caption="../workflow/report/pr_curves.rst",
            labels={"what": "precision-recall curves"},
        ),
        reliability=report(
            "results/{cohort}/figures/reliability.svg",
            category="Results",
            caption="../workflow/report/reliability.rst",
            labels={"what": "reliability"},
        ),
        confusion=report(
            "results/{cohort}/figures/confusion.svg",
            category="Results",
            caption="../workflow/report/confusion.rst",
            labels={"what": "confusion matrices"},
        ),
        modality_use=report(
            "results/{cohort}/figures/modality_use.svg",
            category="Checks",
            caption="../workflow/report/modality_use.rst",
            labels={"what": "modality use"},
        ),
        control=report(
            "results/{cohort}/figures/control.svg",
            category="Checks",
            caption="../workflow/report/control.rst",
            labels={"what": "negative control"},
        ),
        training=report(
            "results/{cohort}/figures/training.svg",
            category="Run",
            caption="../workflow/report/training.rst",
            labels={"what": "training curves"},
        ),
        throughput=report(
            "results/{cohort}/figures/throughput.svg",
            category="Run",
            caption="../workflow/report/throughput.rst",
            labels={"what": "time per stage"},
        ),
    log:
        "results/{cohort}/logs/report.log",
    benchmark:
        "results/{cohort}/benchmarks/report.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(3000 + 20 * input.size_mb)
        * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        # What the run was asked to do. How the machine did it is left out: it changes nothing.
        config=lambda wildcards: WIRING.shown_config(wildcards.cohort),
        models=lambda wildcards: WIRING.models(wildcards.cohort),
        classes=lambda wildcards: TABLES[wildcards.cohort].classes,
        benchmarks=lambda wildcards: f"results/{wildcards.cohort}/benchmarks",
        thumbnails=lambda wildcards: f"results/{wildcards.cohort}/tiles",
        code=code_hash(
            "histoweave.report.page",
            "histoweave.report.machine",
            "histoweave.privacy.share",
        ),
        privacy=PRIVACY,
        overlays=lambda wildcards: REPORT.overlays(wildcards.cohort),
        links=lambda wildcards: REPORT.links(wildcards.cohort),
        stages=WIRING.code_of_stages(),
    script:
        "../workflow/scripts/report.py"
