# Two commands: `make demo` and `make test`. Both make .venv from the lock file first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: demo test lint test-fast test-faults test-cluster bench lock clean

.venv/installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/pip check
	touch $@

demo: .venv/installed
	$(BIN)/snakemake --cores all --configfile config/demo/config.yaml
	@echo "Open results/demo/report.html"

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/Snakefile rules
	$(BIN)/snakemake --lint --configfile config/demo/config.yaml

test: lint
	$(BIN)/python -m pytest -n auto tests/unit
	$(BIN)/python -m pytest tests/real tests/workflow

test-fast: .venv/installed
	$(BIN)/python -m pytest -n auto tests/unit

# A run killed twenty times at random moments, full disks, slides that vanish.
test-faults: .venv/installed
	$(BIN)/python -m pytest tests/faults

# The whole demo through a SLURM of one node that the test sets up and removes again (as root, from Debian's packages).
test-cluster: demo
	HISTOWEAVE_DEMO=. $(BIN)/python -m pytest tests/cluster

bench: .venv/installed
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/tiling.py
	$(BIN)/python benchmarks/dag.py

# Write the lock file anew from what is installed.
lock:
	echo "# Exact versions of everything, for Python 3.11. Made by \`make lock\` from an environment that passed the tests." > requirements.lock
	$(BIN)/pip freeze --all --exclude-editable --exclude pip --exclude histoweave >> requirements.lock

clean:
	rm -rf results .snakemake
