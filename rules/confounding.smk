# Site, scanner and other columns: what they tell of the label, and what predictions and measurements tell of them.


rule confounding:
    input:
        unpack(by_wildcards(CONFOUNDING.inputs)),
    output:
        paths.CONFOUNDING,
    log:
        "results/{cohort}/logs/confounding.log",
    benchmark:
        "results/{cohort}/benchmarks/confounding.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(4000, per_input_mb=20),
        runtime=minutes(120),
    params:
        models=by_wildcards(WIRING.models),
        modalities=by_wildcards(WIRING.modalities),
        classes=by_wildcards(WIRING.classes),
        settings=CONFIG.evaluation.model_dump(exclude={"permutations"}),
        seed=CONFIG.seed,
        code=code_hash(
            "histoweave.evaluation.confounding", "histoweave.fusion.tile_summary"
        ),
    script:
        "../workflow/scripts/confounding.py"
