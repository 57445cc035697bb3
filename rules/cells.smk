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
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        cells=lambda wildcards: CELLS.drawn_identity(wildcards.cohort),
        settings=lambda wildcards: CELLS.simulation(wildcards.cohort),
        code=code_hash("histoweave.simulate.cells", "histoweave.cells.cohort"),
    script:
        "../workflow/scripts/simulate_cells.py"


rule embed_cells:
    input:
        pictures=lambda wildcards: PLAN(CELLS.simulated_pictures(wildcards.cohort)),
        weights=lambda wildcards: CELLS.encoder_weights(wildcards.cohort),
    output:
        "results/{cohort}/cells/{encoder}/{shard}.h5",
    log:
        "results/{cohort}/logs/cells/{encoder}/{shard}.log",
    benchmark:
        "results/{cohort}/benchmarks/cells/{encoder}/{shard}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 6000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
        gpu=CELLS.gpus(),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
        tile_batch=CONFIG.mechanics.tile_batch,
        read_workers=CONFIG.mechanics.read_workers,
        on_error=CONFIG.on_error,
    params:
        cells=lambda wildcards: CELLS.shard_identity(wildcards.cohort, wildcards.shard),
        settings=lambda wildcards: CELLS.embed_settings(wildcards.cohort),
        crop=lambda wildcards: CELLS.crop(wildcards.cohort),
        code=code_hash(
            "histoweave.cells.shard",
            "histoweave.cells.cohort",
            "histoweave.cells.seen",
        ),
    script:
        "../workflow/scripts/embed_cells.py"


# The same table for what a dictionary is fitted on, be it cells or slides.
rule concept_images:
    input:
        unpack(lambda wildcards: CELLS.image_sources(wildcards.cohort)),
    output:
        "results/{cohort}/sae/{source}/images.parquet",
    log:
        "results/{cohort}/logs/sae/{source}/images.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/images.tsv"
    conda:
        "../envs/slides.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        cells=lambda wildcards: CELLS.image_identity(wildcards.cohort),
        code=code_hash("histoweave.cells.images", "histoweave.cells.cohort"),
    script:
        "../workflow/scripts/concept_images.py"


# Asked for with `on_error: stop` only: a shard that was embedded without it may hold cells that cannot be used.
rule check_cells:
    input:
        lambda wildcards: CELLS.shard_files(wildcards.cohort),
    output:
        "results/{cohort}/cells/{encoder}/all_usable.json",
    log:
        "results/{cohort}/logs/cells/{encoder}/check.log",
    benchmark:
        "results/{cohort}/benchmarks/cells/{encoder}/check.tsv"
    conda:
        "../envs/slides.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        code=code_hash("histoweave.cells.images"),
    script:
        "../workflow/scripts/check_cells.py"
