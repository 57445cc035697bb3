# Why a model calls a patient as it does: attributions of tiles and genes, what they say of the classes, and tests of them.
# Each patient is explained once, as a test patient of the first repeat.


rule explain_fold:
    input:
        unpack(by_wildcards(EXPLAIN.fold_inputs)),
    output:
        **paths.EXPLAIN_FOLD,
    log:
        "results/{cohort}/logs/explain/{model}/fold{k}.log",
    benchmark:
        "results/{cohort}/benchmarks/explain/{model}/fold{k}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=memory(6000),
        runtime=minutes(480),
        gpu=by_wildcards(WIRING.gpus),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
    params:
        settings=CONFIG.explain.model_dump(include={"steps", "random_orders"}),
        seed=CONFIG.seed,
        code=model_code(
            "histoweave.explain.explain_fold", "histoweave.mechanics.device"
        ),
    script:
        "../workflow/scripts/explain_fold.py"


rule explain:
    input:
        unpack(by_wildcards(EXPLAIN.inputs)),
    output:
        **paths.EXPLAIN,
    log:
        "results/{cohort}/logs/explain/{model}/summary.log",
    benchmark:
        "results/{cohort}/benchmarks/explain/{model}/summary.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(2000, per_input_mb=20),
        runtime=minutes(60),
    params:
        classes=by_wildcards(WIRING.classes),
        settings=CONFIG.explain.model_dump(include={"top_tiles"}),
        evaluation=CONFIG.evaluation.model_dump(include={"bootstrap", "confidence"}),
        tile_um=CONFIG.tiles.tile_px * CONFIG.tiles.target_mpp,
        seed=CONFIG.seed,
        code=code_hash("histoweave.explain.explain", "histoweave.explain.tables"),
    script:
        "../workflow/scripts/explain.py"


rule explain_slides:
    input:
        unpack(by_wildcards(EXPLAIN.slide_inputs)),
    output:
        **paths.EXPLAIN_SLIDES,
    log:
        "results/{cohort}/logs/explain/{model}/slides/{shard}.log",
    benchmark:
        "results/{cohort}/benchmarks/explain/{model}/slides/{shard}.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=memory(2000, per_input_mb=20),
        runtime=minutes(WIRING.shard_minutes(1)),
    params:
        slides=by_wildcards(EXPLAIN.slide_paths),
        settings=CONFIG.explain.model_dump(include={"top_tiles"}),
        seed=CONFIG.seed,
        code=code_hash(
            "histoweave.explain.explain_slides",
            "histoweave.explain.slide_morphology",
            "histoweave.explain.tile_choice",
            "histoweave.explain.tables",
        ),
    script:
        "../workflow/scripts/explain_slides.py"


rule explain_morphology:
    input:
        unpack(by_wildcards(EXPLAIN.morphology_inputs)),
    output:
        **paths.EXPLAIN_MORPHOLOGY,
    log:
        "results/{cohort}/logs/explain/{model}/morphology.log",
    benchmark:
        "results/{cohort}/benchmarks/explain/{model}/morphology.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(2000, per_input_mb=20),
        runtime=minutes(60),
    params:
        classes=by_wildcards(WIRING.classes),
        evaluation=CONFIG.evaluation.model_dump(include={"bootstrap", "confidence"}),
        seed=CONFIG.seed,
        code=code_hash(
            "histoweave.explain.explain_morphology", "histoweave.storage.shards"
        ),
    script:
        "../workflow/scripts/explain_morphology.py"


# Only with a dictionary of tile features (sae.source: tiles).
rule explain_concepts:
    input:
        unpack(by_wildcards(EXPLAIN.concept_inputs)),
    output:
        **paths.EXPLAIN_CONCEPTS,
    log:
        "results/{cohort}/logs/explain/{model}/concepts.log",
    benchmark:
        "results/{cohort}/benchmarks/explain/{model}/concepts.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=memory(6000, per_input_mb=20),
        runtime=minutes(120),
        gpu=CELLS.gpus(),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
    params:
        classes=by_wildcards(WIRING.classes),
        evaluation=CONFIG.evaluation.model_dump(include={"bootstrap", "confidence"}),
        seed=CONFIG.seed,
        code=code_hash(
            "histoweave.explain.explain_concepts",
            "histoweave.explain.tables",
            "histoweave.mechanics.device",
        ),
    script:
        "../workflow/scripts/explain_concepts.py"
