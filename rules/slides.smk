rule tile_slide:
    input:
        slide=lambda wildcards: WIRING.slide_path(wildcards.cohort, wildcards.slide),
    output:
        tiles="results/{cohort}/tiles/{slide}.h5",
        contours="results/{cohort}/tiles/{slide}.geojson",
        thumbnail="results/{cohort}/tiles/{slide}.png",
    log:
        "results/{cohort}/logs/tiles/{slide}.log",
    benchmark:
        "results/{cohort}/benchmarks/tiles/{slide}.tsv"
    conda:
        "../envs/slides.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        mpp=lambda wildcards: WIRING.slide_mpp(wildcards.cohort, wildcards.slide),
        settings=CONFIG.tiles.model_dump(exclude={"max_failed_share"}),
        on_error=CONFIG.on_error,
        code=code_hash("histoweave.slides.tiling"),
    script:
        "../workflow/scripts/tile_slide.py"


rule extract_features:
    input:
        slide=lambda wildcards: WIRING.slide_path(wildcards.cohort, wildcards.slide),
        tiles="results/{cohort}/tiles/{slide}.h5",
    output:
        "results/{cohort}/features/{encoder}/{slide}.h5",
    log:
        "results/{cohort}/logs/features/{encoder}/{slide}.log",
    benchmark:
        "results/{cohort}/benchmarks/features/{encoder}/{slide}.tsv"
    conda:
        "../envs/torch.yaml"
    # Resources do not count as a change: another batch size, device or number of readers reruns nothing.
    resources:
        mem_mb=4000,
        runtime=240,
        gpu=0 if CONFIG.mechanics.device == "cpu" else 1,
        device=CONFIG.mechanics.device,
        tile_batch=CONFIG.mechanics.tile_batch,
        read_workers=CONFIG.mechanics.read_workers,
    params:
        encoder=CONFIG.features.encoder.model_dump(),
        precision=CONFIG.features.precision,
        max_failed_share=CONFIG.tiles.max_failed_share,
        on_error=CONFIG.on_error,
        code=code_hash("histoweave.features"),
    script:
        "../workflow/scripts/extract_features.py"
