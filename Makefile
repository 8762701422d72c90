# Two commands matter: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CPP := $(shell find cpp -path cpp/build -prune -o \( -name '*.?pp' -o -name '*.h' -o -name 'CMakeLists.txt' -o -name '*.cmake' \) -print)
export OMP_WAIT_POLICY := passive
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-slow soak lint build lab docs ib-async-env clean preflight

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: build  ## set up, then simulate a market, train, fit, backtest and write a report (about 6 minutes)
	@$(BIN)/workbench demo --out runs/demo

test: build  ## set up and run every check and test (under 15 minutes on 2 cores)
	@$(BIN)/python tests/stages.py quick

test-slow: build  ## the longer suites (under 35 minutes on 2 cores)
	@$(BIN)/python tests/stages.py slow

soak: build  ## hour-long runs, by hand; write the outcome into SOAK.md
	@$(BIN)/python tests/stages.py soak

lint: build  ## formatting, imports, types
	@$(BIN)/python tests/stages.py lint

build: $(STAMP) $(VENV)/.kernels  ## virtual environment, packages and C++ kernels

lab: build  ## JupyterLab on the notebooks: the walk from raw bars to a live session
	@$(BIN)/workbench lab

docs: build  ## run the notebooks small and make a gallery of HTML pages with pictures in docs/gallery (5 minutes; needs Chromium)
	@$(BIN)/python docs/make_gallery.py

ib-async-env:  ## an environment with ib_async in .venv-ib-async; the gateway's conformance tests run against it
	@$(PYTHON) -m venv .venv-ib-async
	@.venv-ib-async/bin/python -m pip install -q ib_async==2.1.0

preflight:
	@$(PYTHON) workbench/preflight.py

$(STAMP): pyproject.toml constraints.txt | preflight
	@echo "setting up $(VENV) (2 GB, a few minutes the first time) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q -c constraints.txt scikit-build-core pybind11 cmeel-eigen cmake ninja
	@$(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation --config-settings=editable.rebuild=false -e ".[dev,ib-insync]"
	@touch $@

$(VENV)/.kernels: $(STAMP) $(CPP) cpp/build_kernels.sh
	@PYTHON=$(BIN)/python cpp/build_kernels.sh
	@touch $@

clean:  ## remove the environment and everything built
	rm -rf $(VENV) cpp/build *.so .pytest_cache .mypy_cache .ruff_cache
