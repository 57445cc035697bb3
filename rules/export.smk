# Tiles and features in the forms of other tools, on request: `snakemake --cores 2 export`.


rule export_slides:
    input:
        tiles=paths.TILES,
        features=by_wildcards(WIRING.feature_index),
    output:
        paths.EXPORTS,
    log:
        "results/{cohort}/logs/exports/{form}/{shard}.log",
    benchmark:
        "results/{cohort}/benchmarks/exports/{form}/{shard}.tsv"
    conda:
        "../envs/slides.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(WIRING.shard_minutes(2)),
    params:
        patients=by_wildcards(WIRING.patients_of),
        code=code_hash("histoweave.interop.export_slides"),
    script:
        "../workflow/scripts/export_slides.py"
