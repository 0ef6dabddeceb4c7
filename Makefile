# `make lab` to start, `make help` for the rest.

PYTHON3 ?= python3
VENV    ?= .venv
PYTHON   = $(VENV)/bin/python
STAMP    = $(VENV)/.c3lite-installed
UV      := $(shell command -v uv 2>/dev/null)
INSTALL  = $(if $(UV),$(UV) pip install --python $(PYTHON),$(PYTHON) -m pip install)

TABLE   ?= 03
PRESET  ?= smoke
ARGS    ?=

# Compiled programs outlive a process, so that a second fit of one shape starts at once. Tests keep
# theirs in the repository (tests/conftest.py); benchmarks measure compilation and have none.
lab notebooks ablation: export JAX_COMPILATION_CACHE_DIR ?= $(HOME)/.cache/c3lite/jax

.DEFAULT_GOAL := help
.PHONY: help lab test benchmark notebooks ablation verify results gpu-first-run gpu-check lint environment extras clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "make %-12s %s\n", $$1, $$2}'

lab: $(STAMP)  ## set up .venv and open JupyterLab on the first notebook (a server: ARGS=--no-browser)
	$(PYTHON) -m jupyterlab --ServerApp.root_dir=. --ContentsManager.pre_save_hook=tests.tools.run_notebooks.before_saving \
	    $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS) notebooks/00_start_here.ipynb

test: $(STAMP)  ## set up .venv and run the tests (some of them: ARGS="tests/test_data.py -k crop")
	$(PYTHON) -m pytest $(or $(ARGS),-n auto --maxprocesses 4 --dist loadfile)

benchmark: $(STAMP)  ## measure speed, memory and parity (tests/benchmarks)
	$(PYTHON) -m tests.benchmarks $(ARGS)

notebooks: $(STAMP)  ## execute every notebook again, in place (some: ARGS=notebooks/01_cool_chic.ipynb)
	$(PYTHON) -m tests.tools.run_notebooks $(ARGS)

# TABLE is a number (03) or the name of a notebook (steps); some notebooks have presets of their own.
NOTEBOOK = $(if $(wildcard ablations/table$(TABLE).ipynb),table$(TABLE),$(TABLE))
VALUES   = $(firstword $(wildcard ablations/presets/$(NOTEBOOK)/$(PRESET).yaml) ablations/presets/$(PRESET).yaml)
RESULTS  = ablations/results/$(NOTEBOOK)/$(PRESET)

ablation: $(STAMP)  ## run one of the paper's ablation tables: TABLE=03 PRESET=smoke
	@test -f ablations/$(NOTEBOOK).ipynb || { echo "no notebook '$(TABLE)'; TABLE is one of:" \
	    $(patsubst ablations/%.ipynb,%,$(wildcard ablations/*.ipynb)) >&2; exit 1; }
	@test -f $(VALUES) || { echo "no preset '$(PRESET)'; PRESET is one of:" \
	    $(patsubst ablations/presets/%.yaml,%,$(wildcard ablations/presets/*.yaml)) >&2; exit 1; }
	@mkdir -p $(RESULTS)
	$(PYTHON) -m papermill ablations/$(NOTEBOOK).ipynb $(RESULTS)/unfinished.ipynb \
	    -f $(VALUES) --cwd ablations --log-output --no-progress-bar $(ARGS)
	@mv $(RESULTS)/unfinished.ipynb $(RESULTS)/$(NOTEBOOK).ipynb  # an earlier result stays until then

verify: $(STAMP)  ## check every number that README, results and lessons quote against the stores
	$(PYTHON) -m tests.tools.pages verify

results: $(STAMP)  ## write those numbers and tables anew from the stores
	$(PYTHON) -m tests.tools.pages results

gpu-first-run: $(STAMP)  ## on a GPU: check it, and measure steps and memory, in a few minutes
	$(PYTHON) -m tests.tools.gpu_first_run $(ARGS)

gpu-check: .cache/gpu-venv/.installed  ## without a GPU: compile its programs, count kernels and bytes
	PYTHONPATH=. .cache/gpu-venv/bin/python tests/tools/aot_gpu.py $(ARGS)

.cache/gpu-venv/.installed: pyproject.toml
	$(PYTHON3) -m venv .cache/gpu-venv
	.cache/gpu-venv/bin/pip install -q 'jax[cuda12]==0.10.2' -e .
	@touch $@

lint: $(STAMP)  ## ruff on code and notebooks
	$(PYTHON) -m ruff check $(ARGS) .

environment: $(STAMP)  ## write environment.yml and environment-gpu.yml from pyproject.toml
	$(PYTHON) -m tests.tools.make_environment

extras: $(STAMP)  ## add optional parts to .venv: EXTRAS=cuda12,slurm
	$(INSTALL) -e '.[$(EXTRAS)]'

clean:  ## remove .venv, caches and build outputs
	rm -rf $(VENV) .cache .hypothesis .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# With uv, Python 3.11 or 3.12 first (range-coder has wheels for no other), then whatever is there.
# Without, whatever `python3` is; a distribution's python3 may lack venv, which is said plainly.
$(PYTHON):
	@set -e; \
	if [ -n "$(UV)" ] && [ "$(origin PYTHON3)" = file ]; then \
	    $(UV) venv --allow-existing --python '>=3.11,<3.13' $(VENV) \
	        || $(UV) venv --allow-existing --python '>=3.11' $(VENV); \
	    exit; \
	fi; \
	if ! command -v $(PYTHON3) >/dev/null; then \
	    echo "c3lite needs Python 3.11 or newer, and there is no '$(PYTHON3)' here." >&2; exit 1; \
	fi; \
	if ! $(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	    echo "c3lite needs Python 3.11 or newer; '$(PYTHON3)' is $$($(PYTHON3) --version 2>&1)." >&2; \
	    echo "Name another one: make $(or $(MAKECMDGOALS),lab) PYTHON3=python3.12" >&2; exit 1; \
	fi; \
	if ! $(PYTHON3) -m venv $(VENV); then \
	    rm -rf $(VENV); \
	    echo "'$(PYTHON3) -m venv' failed. On Debian or Ubuntu: sudo apt install python3-venv" >&2; exit 1; \
	fi

# The stamp is touched last: an interrupted installation is taken up again by the next `make`.
$(STAMP): pyproject.toml | $(PYTHON)
	@$(if $(UV),:,$(PYTHON) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m ensurepip)
	$(INSTALL) -e '.[test,dev]'
	@touch $@
