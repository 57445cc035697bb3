# Two commands: `make demo` and `make test`. Both make .venv first, in the versions of the lock file.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint requirements.lock

.PHONY: demo test lint test-fast test-faults test-cluster bench lock clean

# What a run needs, here or on a cluster.
.venv/run: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(INSTALL) setuptools
	$(INSTALL) --no-build-isolation --editable ".[demo,slurm]"
	$(BIN)/pip check
	touch $@

# All of the lock file: tests, linters, the packages that benchmarks compare with.
.venv/dev: .venv/run
	$(INSTALL) --requirement requirements.lock
	$(BIN)/pip check
	touch $@

demo: .venv/run
	$(BIN)/snakemake --cores all --configfile config/demo/config.yaml
	@echo "Open results/demo/report.html and results/lab_a/concepts.html"

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/Snakefile rules
	$(BIN)/snakemake --lint --configfile config/demo/config.yaml

test: lint
	$(BIN)/python -m pytest -n auto tests/unit
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder \
	  tests/real tests/workflow tests/faults --kills 3

test-fast: .venv/dev
	$(BIN)/python -m pytest -n auto tests/unit

# A run killed at random moments, here twenty times; full disks, slides that vanish.
test-faults: .venv/dev
	$(BIN)/python -m pytest tests/faults

# The whole demo through a SLURM of one node that the test sets up and removes again (as root, from Debian's packages).
test-cluster: demo .venv/dev
	HISTOWEAVE_DEMO=. $(BIN)/python -m pytest tests/cluster

bench: .venv/dev
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/tiling.py
	$(BIN)/python benchmarks/dag.py
	$(BIN)/python benchmarks/sae.py
	$(BIN)/python benchmarks/sae.py --batch 512
	$(BIN)/python benchmarks/sae.py --memory

# Write the lock file anew from what is installed.
lock:
	echo "# Exact versions of everything, for Python 3.11. Made by \`make lock\` from an environment that passed the tests." > requirements.lock
	$(BIN)/pip freeze --all --exclude-editable --exclude pip --exclude histoweave >> requirements.lock

clean:
	rm -rf results .snakemake
