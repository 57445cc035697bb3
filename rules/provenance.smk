# What a run was made of and what it made, for programs and archives (Workflow Run RO-Crate).


PROVENANCE = ProvenanceWiring(REPORT, CONCEPTS)


rule provenance:
    input:
        unpack(lambda wildcards: PROVENANCE.inputs(wildcards.cohort)),
    output:
        crate=report(
            "results/{cohort}/ro-crate-metadata.json",
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
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        config=lambda wildcards: PROVENANCE.shown_config(wildcards.cohort),
        code=code_hash(
            "histoweave.crate",
            "histoweave.privacy.share",
            "histoweave.report.versions",
        ),
        privacy=PRIVACY,
        description=lambda wildcards: PROVENANCE.description(wildcards.cohort),
        stages=lambda wildcards: PROVENANCE.code_of_stages(wildcards.cohort),
    script:
        "../workflow/scripts/provenance.py"
