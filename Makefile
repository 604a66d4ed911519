PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Slow tests (whole networks, whole frames, a wheel) run in CI.
MARKS := $(if $(CI),not gpu,not gpu and not slow)

# How long `make fuzz` runs, and on which kinds of files (all, if none is named).
FUZZ_SECONDS ?= 600
FUZZ_KINDS ?=

.PHONY: demo docs test test-isa fuzz lint bench wheel

demo: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash validation/demo.sh

# The documentation as a site, in build/site: pages that can be opened as files.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet -f docs/site/mkdocs.yml
	@echo build/site/index.html

# A source archive and a wheel, in build/dist, with engines of the toolkit's own networks for all CPUs that there is a
# compiler for (apt install g++-aarch64-linux-gnu for Arm).
wheel: $(READY)
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=true $(BIN)/python -m build --no-isolation --outdir build/dist

test: $(READY)
	$(BIN)/python -m pytest -n 2 --durations 30 -m "$(MARKS)"

# Tests that depend on arithmetic, with the libraries held to older instruction sets.
test-isa: $(READY)
	$(BIN)/python validation/isa.py

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fuzz: $(READY)
	$(BIN)/python tests/fuzz/long.py $(FUZZ_SECONDS) $(FUZZ_KINDS)

bench: $(READY)
	$(BIN)/python validation/bench/startup.py
	$(BIN)/python validation/bench/export.py
	$(BIN)/python validation/bench/harness.py
	$(BIN)/python validation/bench/native.py

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(READY)
