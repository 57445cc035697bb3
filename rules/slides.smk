# Slides come in shards: one job, many slides. A shard's index is what Snakemake knows of; each slide has its own files
# and its own record beside it, and a job works on those slides only that are not done (histoweave.storage.shards).


rule tile_slides:
    input:
        simulated=lambda wildcards: PLAN(
            WIRING.simulated_index(wildcards.cohort, wildcards.shard)
        ),
    output:
        paths.TILES,
    log:
        "results/{cohort}/logs/tiles/{shard}.log",
    benchmark:
        "results/{cohort}/benchmarks/tiles/{shard}.tsv"
    conda:
        "../envs/slides.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, threads, attempt: 1500 * threads * attempt,
        runtime=minutes(WIRING.shard_minutes(2)),
        on_error=CONFIG.on_error,
    params:
        slides=by_wildcards(WIRING.shard),
        settings=CONFIG.tiles.model_dump(exclude={"max_failed_share"}),
        code=code_hash("histoweave.tiles.tile_slides"),
    script:
        "../workflow/scripts/tile_slides.py"


rule extract_features:
    input:
        tiles=paths.TILES,
        weights=WIRING.encoder_weights(),
    output:
        paths.FEATURES,
    log:
        "results/{cohort}/logs/features/{encoder}/{shard}.log",
    benchmark:
        "results/{cohort}/benchmarks/features/{encoder}/{shard}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 4
    # Resources do not count as a change: another batch size, device or number of readers reruns nothing. Neither does
    # `on_error`, which decides whether a run ends, not what it gives (see Wiring.untrue_indexes).
    resources:
        mem_mb=memory(6000),
        runtime=minutes(WIRING.shard_minutes(10)),
        gpu=0 if CONFIG.mechanics.device == "cpu" else 1,
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
        tile_batch=CONFIG.mechanics.tile_batch,
        read_workers=CONFIG.mechanics.read_workers,
        on_error=CONFIG.on_error,
    params:
        slides=by_wildcards(WIRING.shard),
        encoder=CONFIG.features.encoder.model_dump(),
        arithmetic=CONFIG.features.arithmetic,
        precision=CONFIG.features.precision,
        tiles=CONFIG.tiles.model_dump(),
        code=code_hash("histoweave.features.extract_features"),
    script:
        "../workflow/scripts/extract_features.py"
