# Cells come in shards as slides do: one job, one file of tokens. A cell that cannot be used is listed in that file.


rule simulate_cells:
    output:
        "results/{cohort}/simulated/cells.zip",
    log:
        "results/{cohort}/logs/simulate_cells.log",
    benchmark:
        "results/{cohort}/benchmarks/simulate_cells.tsv"
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=memory(1500),
        runtime=minutes(30),
    params:
        cells=by_wildcards(CELLS.drawn_identity),
        settings=by_wildcards(CELLS.simulation),
        code=code_hash("histoweave.simulate.cells", "histoweave.cells.cohort"),
    script:
        "../workflow/scripts/simulate_cells.py"


rule embed_cells:
    input:
        pictures=lambda wildcards: PLAN(CELLS.simulated_pictures(wildcards.cohort)),
        weights=by_wildcards(CELLS.encoder_weights),
    output:
        paths.TOKENS,
    log:
        "results/{cohort}/logs/cells/{encoder}/{shard}.log",
    benchmark:
        "results/{cohort}/benchmarks/cells/{encoder}/{shard}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 4
    resources:
        mem_mb=memory(6000),
        runtime=minutes(240),
        gpu=CELLS.gpus(),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
        tile_batch=CONFIG.mechanics.tile_batch,
        read_workers=CONFIG.mechanics.read_workers,
        on_error=CONFIG.on_error,
    params:
        cells=by_wildcards(CELLS.shard_identity),
        settings=by_wildcards(CELLS.embed_settings),
        crop=by_wildcards(CELLS.crop),
        code=code_hash(
            "histoweave.cells.embed_cells",
            "histoweave.cells.cohort",
            "histoweave.cells.seen",
        ),
    script:
        "../workflow/scripts/embed_cells.py"


# The same table for what a dictionary is fitted on, be it cells or slides.
rule concept_images:
    input:
        unpack(by_wildcards(CELLS.image_sources)),
    output:
        paths.IMAGES,
    log:
        "results/{cohort}/logs/sae/{source}/images.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/images.tsv"
    conda:
        "../envs/slides.yaml"
    resources:
        mem_mb=memory(3000),
        runtime=minutes(30),
    params:
        cells=by_wildcards(CELLS.image_identity),
        code=code_hash("histoweave.cells.images", "histoweave.cells.cohort"),
    script:
        "../workflow/scripts/concept_images.py"


# Asked for with `on_error: stop` only: a shard that was embedded without it may hold cells that cannot be used.
rule check_cells:
    input:
        by_wildcards(CELLS.shard_files),
    output:
        paths.ALL_USABLE,
    log:
        "results/{cohort}/logs/cells/{encoder}/check.log",
    benchmark:
        "results/{cohort}/benchmarks/cells/{encoder}/check.tsv"
    conda:
        "../envs/slides.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        code=code_hash("histoweave.cells.images"),
    script:
        "../workflow/scripts/check_cells.py"
