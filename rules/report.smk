rule report:
    input:
        unpack(FITTING(by_wildcards(REPORT.inputs))),
    output:
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
        cohort_flow=report(
            "results/{cohort}/figures/cohort_flow.svg",
            category="Cohort",
            caption="../workflow/report/cohort_flow.rst",
            labels={"cohort": "{cohort}", "what": "cohort flow"},
        ),
        folds=report(
            "results/{cohort}/figures/folds.svg",
            category="Cohort",
            caption="../workflow/report/folds.rst",
            labels={"cohort": "{cohort}", "what": "fold composition"},
        ),
        metrics=report(
            "results/{cohort}/figures/metrics.svg",
            category="Results",
            caption="../workflow/report/metrics.rst",
            labels={"cohort": "{cohort}", "what": "metrics with intervals"},
        ),
        roc_curves=report(
            "results/{cohort}/figures/roc_curves.svg",
            category="Results",
            caption="../workflow/report/roc_curves.rst",
            labels={"cohort": "{cohort}", "what": "ROC curves"},
        ),
        pr_curves=report(
            "results/{cohort}/figures/pr_curves.svg",
            category="Results",
            caption="../workflow/report/pr_curves.rst",
            labels={"cohort": "{cohort}", "what": "precision-recall curves"},
        ),
        reliability=report(
            "results/{cohort}/figures/reliability.svg",
            category="Results",
            caption="../workflow/report/reliability.rst",
            labels={"cohort": "{cohort}", "what": "reliability"},
        ),
        confusion=report(
            "results/{cohort}/figures/confusion.svg",
            category="Results",
            caption="../workflow/report/confusion.rst",
            labels={"cohort": "{cohort}", "what": "confusion matrices"},
        ),
        confounding=report(
            "results/{cohort}/figures/confounding.svg",
            category="Checks",
            caption="../workflow/report/confounding.rst",
            labels={"cohort": "{cohort}", "what": "site and other confounders"},
        ),
        modality_use=report(
            "results/{cohort}/figures/modality_use.svg",
            category="Checks",
            caption="../workflow/report/modality_use.rst",
            labels={"cohort": "{cohort}", "what": "modality use"},
        ),
        control=report(
            "results/{cohort}/figures/control.svg",
            category="Checks",
            caption="../workflow/report/control.rst",
            labels={"cohort": "{cohort}", "what": "negative control"},
        ),
        explanation_tests=report(
            "results/{cohort}/figures/explanation_tests.svg",
            category="Explanations",
            caption="../workflow/report/explanation_tests.rst",
            labels={"cohort": "{cohort}", "what": "tests of the explanations"},
        ),
        faithfulness=report(
            "results/{cohort}/figures/faithfulness.svg",
            category="Explanations",
            caption="../workflow/report/faithfulness.rst",
            labels={"cohort": "{cohort}", "what": "deletion and insertion curves"},
        ),
        genes=report(
            "results/{cohort}/figures/genes.svg",
            category="Explanations",
            caption="../workflow/report/genes.rst",
            labels={"cohort": "{cohort}", "what": "genes that drive each class"},
        ),
        gene_sets=report(
            "results/{cohort}/figures/gene_sets.svg",
            category="Explanations",
            caption="../workflow/report/gene_sets.rst",
            labels={"cohort": "{cohort}", "what": "gene sets that drive each class"},
        ),
        morphology=report(
            "results/{cohort}/figures/morphology.svg",
            category="Explanations",
            caption="../workflow/report/morphology.rst",
            labels={"cohort": "{cohort}", "what": "morphology of each class"},
        ),
        explained_concepts=report(
            "results/{cohort}/figures/explained_concepts.svg",
            category="Explanations",
            caption="../workflow/report/explained_concepts.rst",
            labels={"cohort": "{cohort}", "what": "concepts that drive each class"},
        ),
        calibration=report(
            "results/{cohort}/figures/calibration.svg",
            category="Decisions",
            caption="../workflow/report/calibration.rst",
            labels={"cohort": "{cohort}", "what": "reliability before and after"},
        ),
        conformal=report(
            "results/{cohort}/figures/conformal.svg",
            category="Decisions",
            caption="../workflow/report/conformal.rst",
            labels={"cohort": "{cohort}", "what": "conformal sets"},
        ),
        selective=report(
            "results/{cohort}/figures/selective.svg",
            category="Decisions",
            caption="../workflow/report/selective.rst",
            labels={"cohort": "{cohort}", "what": "risk and coverage"},
        ),
        decision_curve=report(
            "results/{cohort}/figures/decision_curve.svg",
            category="Decisions",
            caption="../workflow/report/decision_curve.rst",
            labels={"cohort": "{cohort}", "what": "net benefit"},
        ),
        subgroups=report(
            "results/{cohort}/figures/subgroups.svg",
            category="Decisions",
            caption="../workflow/report/subgroups.rst",
            labels={"cohort": "{cohort}", "what": "sites and subgroups"},
        ),
        learning=report(
            "results/{cohort}/figures/learning.svg",
            category="Decisions",
            caption="../workflow/report/learning.rst",
            labels={"cohort": "{cohort}", "what": "learning curve"},
        ),
        training=report(
            "results/{cohort}/figures/training.svg",
            category="Run",
            caption="../workflow/report/training.rst",
            labels={"cohort": "{cohort}", "what": "training curves"},
        ),
        throughput=report(
            "results/{cohort}/figures/throughput.svg",
            category="Run",
            caption="../workflow/report/throughput.rst",
            labels={"cohort": "{cohort}", "what": "time per stage"},
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
