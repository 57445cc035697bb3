# Why a model calls a patient as it does: attributions of tiles and genes, what they say of the classes, and tests of them.
# Each patient is explained once, as a test patient of the first repeat.


rule explain_fold:
    input:
        unpack(
            lambda wildcards: EXPLAIN.fold_inputs(
                wildcards.cohort, wildcards.model, wildcards.k
            )
        ),
    output:
        tiles="results/{cohort}/explain/{model}/fold{k}/tiles.parquet",
        genes="results/{cohort}/explain/{model}/fold{k}/genes.parquet",
        faithfulness="results/{cohort}/explain/{model}/fold{k}/faithfulness.parquet",
        stability="results/{cohort}/explain/{model}/fold{k}/stability.parquet",
    log:
        "results/{cohort}/logs/explain/{model}/fold{k}.log",
    benchmark:
        "results/{cohort}/benchmarks/explain/{model}/fold{k}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 6000 * attempt,
        runtime=lambda wildcards, attempt: 480 * attempt,
        gpu=lambda wildcards: WIRING.gpus(wildcards.model),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
    params:
        settings=CONFIG.explain.model_dump(include={"steps", "random_orders"}),
        seed=CONFIG.seed,
        code=code_hash("histoweave.explain.fold", "histoweave.device"),
    script:
        "../workflow/scripts/explain_fold.py"


rule explain:
    input:
        unpack(lambda wildcards: EXPLAIN.inputs(wildcards.cohort, wildcards.model)),
    output:
        genes="results/{cohort}/explain/{model}/genes.parquet",
        gene_sets="results/{cohort}/explain/{model}/gene_sets.parquet",
        tests="results/{cohort}/explain/{model}/tests.parquet",
        patients="results/{cohort}/explain/{model}/patients.parquet",
    log:
        "results/{cohort}/logs/explain/{model}/summary.log",
    benchmark:
        "results/{cohort}/benchmarks/explain/{model}/summary.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(2000 + 20 * input.size_mb)
        * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        classes=lambda wildcards: TABLES[wildcards.cohort].classes,
        settings=CONFIG.explain.model_dump(include={"top_tiles"}),
        evaluation=CONFIG.evaluation.model_dump(include={"bootstrap", "confidence"}),
        tile_um=CONFIG.tiles.tile_px * CONFIG.tiles.target_mpp,
        seed=CONFIG.seed,
        code=code_hash("histoweave.explain.stage", "histoweave.explain.tables"),
    script:
        "../workflow/scripts/explain.py"


rule explain_slides:
    input:
        unpack(
            lambda wildcards: EXPLAIN.slide_inputs(
                wildcards.cohort, wildcards.model, wildcards.shard
            )
        ),
    output:
        overlays="results/{cohort}/explain/{model}/overlays/shards/{shard}.json",
        geojson="results/{cohort}/explain/{model}/geojson/shards/{shard}.json",
        morphology="results/{cohort}/explain/{model}/morphology/shards/{shard}.json",
    log:
        "results/{cohort}/logs/explain/{model}/slides/{shard}.log",
    benchmark:
        "results/{cohort}/benchmarks/explain/{model}/slides/{shard}.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(2000 + 20 * input.size_mb)
        * attempt,
        runtime=lambda wildcards, attempt: WIRING.shard_minutes(1) * attempt,
    params:
        slides=lambda wildcards: EXPLAIN.slide_paths(wildcards.cohort, wildcards.shard),
        settings=CONFIG.explain.model_dump(include={"top_tiles"}),
        seed=CONFIG.seed,
        code=code_hash(
            "histoweave.explain.shard",
            "histoweave.explain.slide_morphology",
            "histoweave.explain.tile_choice",
            "histoweave.explain.tables",
        ),
    script:
        "../workflow/scripts/explain_slides.py"


rule explain_morphology:
    input:
        unpack(
            lambda wildcards: EXPLAIN.morphology_inputs(
                wildcards.cohort, wildcards.model
            )
        ),
    output:
        morphology="results/{cohort}/explain/{model}/morphology.parquet",
        class_tiles="results/{cohort}/explain/{model}/class_tiles.parquet",
    log:
        "results/{cohort}/logs/explain/{model}/morphology.log",
    benchmark:
        "results/{cohort}/benchmarks/explain/{model}/morphology.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(2000 + 20 * input.size_mb)
        * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        classes=lambda wildcards: TABLES[wildcards.cohort].classes,
        evaluation=CONFIG.evaluation.model_dump(include={"bootstrap", "confidence"}),
        seed=CONFIG.seed,
        code=code_hash("histoweave.explain.morphology", "histoweave.shards"),
    script:
        "../workflow/scripts/explain_morphology.py"


# Only with a dictionary of tile features (sae.source: tiles).
rule explain_concepts:
    input:
        unpack(
            lambda wildcards: EXPLAIN.concept_inputs(wildcards.cohort, wildcards.model)
        ),
    output:
        concepts="results/{cohort}/explain/{model}/concepts.parquet",
        concept_gene_sets="results/{cohort}/explain/{model}/concept_gene_sets.parquet",
    log:
        "results/{cohort}/logs/explain/{model}/concepts.log",
    benchmark:
        "results/{cohort}/benchmarks/explain/{model}/concepts.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: int(6000 + 20 * input.size_mb)
        * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
        gpu=CELLS.gpus(),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
    params:
        classes=lambda wildcards: TABLES[wildcards.cohort].classes,
        evaluation=CONFIG.evaluation.model_dump(include={"bootstrap", "confidence"}),
        seed=CONFIG.seed,
        code=code_hash(
            "histoweave.explain.concept_stage",
            "histoweave.explain.tables",
            "histoweave.device",
        ),
    script:
        "../workflow/scripts/explain_concepts.py"
