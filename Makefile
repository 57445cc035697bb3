# Two commands: `make demo` and `make test`. Both make .venv first: the files of the locks and no others, by their hashes.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet
INSTALL := $(PIP) --no-build-isolation --require-hashes

# Warnings, such as a broken link, are errors. The variable turns off a notice on mkdocs' successor, not a warning.
SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.PHONY: help demo test lint docs test-fast test-fuzz test-faults test-cluster test-gpu bench lock clean

# What a run needs, here or on a cluster. Setuptools comes first: what has no wheel is built with it, not with another that
# is fetched in passing.
.venv/run: pyproject.toml requirements.lock ## Install what a run needs into .venv (what `make` alone does)
	$(PYTHON) -m venv .venv
	sed -n '/^setuptools==/,/[^\\]$$/p' requirements.lock > .venv/setuptools.lock
	$(INSTALL) --requirement .venv/setuptools.lock
	$(INSTALL) --requirement requirements.lock
	$(PIP) --no-build-isolation --no-deps --editable .
	$(BIN)/pip check
	touch $@

# And what tests, linters and benchmarks need besides.
.venv/dev: .venv/run requirements-dev.lock ## Install what tests, linters and benchmarks need besides
	$(INSTALL) --requirement requirements.lock --requirement requirements-dev.lock
	$(BIN)/pip check
	touch $@

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z.][a-z.\/-]*:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: .venv/run ## Run the demo: results/demo/report.html, results/lab_a/concepts.html
	$(BIN)/snakemake --cores all --configfile config/demo/config.yaml
	@echo "Open results/demo/report.html and results/lab_a/concepts.html"

lint: .venv/dev ## Check style, types, the workflow and the docs: ruff, mypy, snakefmt, snakemake --lint, mkdocs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow/Snakefile rules
	$(BIN)/snakemake --lint --configfile config/demo/config.yaml
	$(SITE)

docs: .venv/dev ## Build the documentation as a static site: site/index.html
	$(SITE)
	@echo "Open site/index.html; its search needs a server: $(BIN)/python -m http.server --directory site"

test: lint ## Lint, then every test but the cluster's, the whole demo included
	$(BIN)/python -m pytest -n auto --cov --cov-report= tests/unit
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder \
	  tests/real tests/workflow tests/faults --kills 3
	@echo "Lines and branches of the library that the unit tests run: $$($(BIN)/coverage report --format=total) %"

test-fast: .venv/dev ## Run the unit tests alone
	$(BIN)/python -m pytest -n auto tests/unit

test-gpu: ## Run the tests and benchmarks of a GPU, 8 minutes at most; says so where there is none
	$(BIN)/python benchmarks/gpu.py

# Damaged files of every kind, twenty times as many as CI draws, and others in every run.
test-fuzz: .venv/dev ## Run the tests on damaged files, with twenty times as many files
	HISTOWEAVE_FUZZ_TIMES=20 $(BIN)/python -m pytest -n auto tests/unit/fuzz tests/unit/tabular/test_cohorts.py

# A run killed at random moments, here twenty times; full disks, slides that vanish.
test-faults: .venv/dev ## Kill runs at random moments, fill disks, remove slides
	$(BIN)/python -m pytest tests/faults

# The whole demo through a SLURM of one node that the test sets up and removes again (as root, from Debian's packages).
test-cluster: demo .venv/dev ## Run the demo through a SLURM of one node (as root)
	HISTOWEAVE_DEMO=. $(BIN)/python -m pytest tests/cluster

bench: .venv/dev ## Run the benchmarks of speed, memory and coverage
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/tiling.py
	$(BIN)/python benchmarks/dag.py
	$(BIN)/python benchmarks/sae.py
	$(BIN)/python benchmarks/sae.py --batch 512
	$(BIN)/python benchmarks/sae.py --memory
	$(BIN)/python benchmarks/coverage.py

# Write the locks anew from what is installed: what runs need, and what only tests, linters and benchmarks need. A hash is
# listed for every file of a release, so that other platforms find theirs.
COMPILE = .lock/bin/uv pip compile --quiet --python-version 3.11 --constraint .lock/tested.txt --no-annotate --no-header \
  --generate-hashes pyproject.toml .lock/build.in
HEAD = "\# Exact versions, and hashes of their files, for Python 3.11 on Linux. Made by \`make lock\` from an environment that passed the tests."

lock: ## Write the lock files anew from what is installed
	$(PYTHON) -m venv .lock
	.lock/bin/pip --disable-pip-version-check install --quiet "uv>=0.9"
	$(BIN)/pip freeze --all --exclude-editable --exclude pip --exclude histoweave > .lock/tested.txt
	echo setuptools > .lock/build.in
	(echo $(HEAD); $(COMPILE) --extra demo --extra slurm) > .lock/run
	(echo $(HEAD); echo "# Besides requirements.lock: what only tests, linters and benchmarks need."; \
	  $(COMPILE) --extra dev $$(sed -n 's/^\([^ =]*\)==.*/--no-emit-package \1/p' .lock/run)) > .lock/dev
	mv .lock/run requirements.lock
	mv .lock/dev requirements-dev.lock
	rm -r .lock

clean: ## Delete results/ and .snakemake/
	rm -rf results .snakemake
