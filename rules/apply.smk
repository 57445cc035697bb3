# A training cohort's fitted models as one file, and external cohorts that it is applied to. `trained` is the cohort that a
# bundle was made of, `target` one that it is applied to; nothing is fitted on that.


rule bundle:
    input:
        unpack(lambda wildcards: APPLY.bundle_inputs(wildcards.cohort)),
    output:
        "results/{cohort}/bundle.zip",
    log:
        "results/{cohort}/logs/bundle.log",
    benchmark:
        "results/{cohort}/benchmarks/bundle.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(4000 + 10 * input.size_mb)
        * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        given=lambda wildcards: APPLY.bundle_parameters(wildcards.cohort),
        code=code_hash("histoweave.apply.bundle"),
    script:
        "../workflow/scripts/bundle.py"


rule compare_with_bundle:
    input:
        unpack(
            FITTING(
                lambda wildcards: APPLY.apply_inputs(
                    wildcards.target, wildcards.trained
                )
            )
        ),
    output:
        compatibility="results/{target}/applied/{trained}/compatibility.json",
        drift="results/{target}/applied/{trained}/drift.parquet",
        plausible="results/{target}/applied/{trained}/plausible.parquet",
    log:
        "results/{target}/logs/applied/{trained}/compare.log",
    benchmark:
        "results/{target}/benchmarks/applied/{trained}/compare.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(4000 + 10 * input.size_mb)
        * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        unit=lambda wildcards: APPLY.unit(wildcards.target),
        tiles=CONFIG.tiles.model_dump(),
        settings=CONFIG.apply.model_dump(exclude={"bundle", "insist"}),
        code=code_hash("histoweave.apply.stage"),
    script:
        "../workflow/scripts/compare_with_bundle.py"


rule apply_bundle:
    input:
        unpack(
            FITTING(
                lambda wildcards: APPLY.apply_inputs(
                    wildcards.target, wildcards.trained
                )
            )
        ),
        compatibility="results/{target}/applied/{trained}/compatibility.json",
        plausible="results/{target}/applied/{trained}/plausible.parquet",
    output:
        predictions="results/{target}/applied/{trained}/predictions.parquet",
        members="results/{target}/applied/{trained}/members.parquet",
        metrics="results/{target}/applied/{trained}/metrics.parquet",
        coverage="results/{target}/applied/{trained}/coverage.parquet",
    log:
        "results/{target}/logs/applied/{trained}/apply.log",
    benchmark:
        "results/{target}/benchmarks/applied/{trained}/apply.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(4000 + 20 * input.size_mb)
        * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        settings=CONFIG.apply.model_dump(exclude={"bundle", "missing_genes_limit"}),
        evaluation=CONFIG.evaluation.model_dump(exclude={"permutations", "confounders"}),
        seed=CONFIG.seed,
        code=code_hash("histoweave.apply.stage"),
    script:
        "../workflow/scripts/apply_bundle.py"
