# The concepts of a cohort for programs: of one that dictionaries were fitted on, or of an external one.


rule concepts_json:
    input:
        unpack(lambda wildcards: CONCEPTS.inputs(wildcards.cohort)),
    output:
        json=report(
            "results/{cohort}/concepts.json",
            category="Concepts",
            caption="../workflow/report/concepts_json.rst",
            labels={"cohort": "{cohort}", "what": "concepts for programs"},
        ),
    log:
        "results/{cohort}/logs/concepts_json.log",
    benchmark:
        "results/{cohort}/benchmarks/concepts_json.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 6000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        config=lambda wildcards: CONCEPTS.shown_config(wildcards.cohort),
        dictionaries=lambda wildcards: CONCEPTS.dictionaries(wildcards.cohort),
        code=code_hash(
            "histoweave.gallery.machine",
            "histoweave.gallery.files",
            "histoweave.privacy.share",
        ),
        privacy=PRIVACY,
        stages=CELLS.code_of_stages(),
    script:
        "../workflow/scripts/concepts_json.py"
