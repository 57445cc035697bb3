# The page of an external cohort: what the tables of rules/apply.smk say, for people.


rule applied_report:
    input:
        bundle=FITTING(by_wildcards(APPLY.bundle_of)),
        patients=paths.at(paths.PATIENTS, cohort="{target}"),
        slides=paths.at(paths.SLIDES, cohort="{target}"),
        predictions=paths.APPLIED["predictions"],
        compatibility=paths.COMPARED["compatibility"],
        drift=paths.COMPARED["drift"],
        metrics=paths.APPLIED["metrics"],
        coverage=paths.APPLIED["coverage"],
    output:
        html=report(
            paths.APPLIED_PAGE,
            category="External cohorts",
            caption="../workflow/report/applied.rst",
            labels={"cohort": "{target}", "what": "a bundle on another cohort"},
        ),
        json=report(
            "results/{target}/applied/{trained}/report.json",
            category="External cohorts",
            caption="../workflow/report/applied_json.rst",
            labels={"cohort": "{target}", "what": "the same for programs"},
        ),
    log:
        "results/{target}/logs/applied/{trained}/report.log",
    benchmark:
        "results/{target}/benchmarks/applied/{trained}/report.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(3000),
        runtime=minutes(30),
    params:
        config=by_wildcards(APPLY.shown_config),
        level=CONFIG.apply.level,
        code=code_hash("histoweave.pages.applied.as_json", "histoweave.privacy.share"),
        privacy=PRIVACY,
        stages=WIRING.code_of_stages(),
    script:
        "../workflow/scripts/applied_report.py"
