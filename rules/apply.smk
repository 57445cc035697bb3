# A training cohort's fitted models as one file, and external cohorts that it is applied to. `trained` is the cohort that a
# bundle was made of, `target` one that it is applied to; nothing is fitted on that.


rule bundle:
    input:
        unpack(by_wildcards(APPLY.bundle_inputs)),
    output:
        paths.BUNDLE,
    log:
        "results/{cohort}/logs/bundle.log",
    benchmark:
        "results/{cohort}/benchmarks/bundle.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=memory(4000, per_input_mb=10),
        runtime=minutes(60),
    params:
        given=by_wildcards(APPLY.bundle_parameters),
        code=code_hash("histoweave.apply.bundle", *catalog.modules()),
    script:
        "../workflow/scripts/bundle.py"


rule compare_with_bundle:
    input:
        unpack(FITTING(by_wildcards(APPLY.apply_inputs))),
    output:
        **paths.COMPARED,
    log:
        "results/{target}/logs/applied/{trained}/compare.log",
    benchmark:
        "results/{target}/benchmarks/applied/{trained}/compare.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=memory(4000, per_input_mb=10),
        runtime=minutes(60),
    params:
        unit=by_wildcards(APPLY.unit),
        tiles=CONFIG.tiles.model_dump(),
        settings=CONFIG.apply.model_dump(exclude={"bundle", "insist"}),
        code=code_hash("histoweave.apply.compare_with_bundle", *catalog.modules()),
    script:
        "../workflow/scripts/compare_with_bundle.py"


rule apply_bundle:
    input:
        unpack(FITTING(by_wildcards(APPLY.apply_inputs))),
        compatibility=paths.COMPARED["compatibility"],
        plausible=paths.COMPARED["plausible"],
    output:
        **paths.APPLIED,
    log:
        "results/{target}/logs/applied/{trained}/apply.log",
    benchmark:
        "results/{target}/benchmarks/applied/{trained}/apply.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=memory(4000, per_input_mb=20),
        runtime=minutes(240),
    params:
        settings=CONFIG.apply.model_dump(exclude={"bundle", "missing_genes_limit"}),
        evaluation=CONFIG.evaluation.model_dump(exclude={"permutations", "confounders"}),
        seed=CONFIG.seed,
        code=code_hash("histoweave.apply.apply_bundle", *catalog.modules()),
    script:
        "../workflow/scripts/apply_bundle.py"
