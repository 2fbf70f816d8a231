# Needs Python 3.11 or newer with pip and venv, nothing else. `make demo` shows the package at work, `make test` checks everything.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS ?= dev
WORKERS ?= 2
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

.PHONY: help setup demo test check export readme sidebar docs pages clean distclean
.DEFAULT_GOAL := help

help:
	@echo 'make demo     find the phenotypes planted in a simulated cohort (sets up $(VENV) first)'
	@echo 'make test     export in sync, notebooks clean, every notebook, every test'
	@echo 'make check    the same without notebooks and without tests that train, for daily work'
	@echo 'make export   notebooks -> impc_phenotypes/, cleaned'
	@echo 'make readme   nbs/index.ipynb -> README.md'
	@echo 'make sidebar  list every notebook in _quarto.yml'
	@echo 'make docs     the website, in _docs/ (needs Quarto)'
	@echo 'make pages    every page as plain HTML, in _preview/ (without Quarto)'
	@echo 'make clean    remove what was built; make distclean: $(VENV) too'

$(STAMP): settings.ini setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, $(PYTHON) is "+sys.version.split()[0])'
	@echo 'Setting up $(VENV): some minutes, once'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

setup: $(STAMP)

demo: $(STAMP)
	@$(BIN)/impc-phenotypes demo $(ARGS)

test: $(STAMP)
	@$(BIN)/python scripts/test_all.py --workers $(WORKERS)

check: $(STAMP)
	@$(BIN)/python scripts/test_all.py --workers $(WORKERS) --fast

export: $(STAMP)
	@PATH="$(abspath $(BIN)):$$PATH"; nbdev_export && nbdev_clean

readme: $(STAMP)
	@$(BIN)/python scripts/make_readme.py

sidebar: $(STAMP)
	@$(BIN)/python scripts/make_sidebar.py

docs: $(STAMP)
	@command -v quarto >/dev/null || { echo 'Quarto is not installed: see https://quarto.org/docs/get-started/ (the published site is built by .github/workflows/docs.yaml)' >&2; exit 1; }
	@PATH="$(abspath $(BIN)):$$PATH"; nbdev_docs --n_workers $(WORKERS)

pages: $(STAMP)
	@$(BIN)/python scripts/stage_pages.py _preview && echo _preview/index.html

clean:
	@rm -rf _proc _docs _preview build dist .pytest_cache .hypothesis nbs/nbdev.yml nbs/sidebar.yml
	@find impc_phenotypes nbs tests scripts \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +

distclean: clean
	@rm -rf $(VENV) *.egg-info
