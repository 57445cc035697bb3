# What a run was made of and what it made, for programs and archives (Workflow Run RO-Crate).


PROVENANCE = ProvenanceWiring(REPORT, CONCEPTS)


rule provenance:
    input:
        unpack(by_wildcards(PROVENANCE.inputs)),
    output:
        crate=report(
            paths.CRATE,
            category="Run",
            caption="../workflow/report/provenance.rst",
            labels={
                "cohort": "{cohort}",
                "what": "provenance (Workflow Run RO-Crate)",
            },
        ),
    log:
        "results/{cohort}/logs/provenance.log",
    benchmark:
        "results/{cohort}/benchmarks/provenance.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        config=by_wildcards(PROVENANCE.shown_config),
        code=code_hash(
            "histoweave.pages.crate",
            "histoweave.privacy.share",
            "histoweave.pages.kit.versions",
        ),
        privacy=PRIVACY,
        description=by_wildcards(PROVENANCE.description),
        stages=by_wildcards(PROVENANCE.code_of_stages),
    script:
        "../workflow/scripts/provenance.py"
