# The concepts of a cohort for programs: of one that dictionaries were fitted on, or of an external one.


rule concepts_json:
    input:
        unpack(by_wildcards(CONCEPTS.inputs)),
    output:
        json=report(
            paths.CONCEPTS_JSON,
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
        mem_mb=memory(6000),
        runtime=minutes(30),
    params:
        config=by_wildcards(CONCEPTS.shown_config),
        dictionaries=by_wildcards(CONCEPTS.dictionaries),
        code=code_hash(
            "histoweave.pages.concepts.as_json",
            "histoweave.pages.concepts.files",
            "histoweave.privacy.share",
        ),
        privacy=PRIVACY,
        stages=CELLS.code_of_stages(),
    script:
        "../workflow/scripts/concepts_json.py"
