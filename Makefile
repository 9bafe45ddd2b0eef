# Everything runs on a fresh Debian or Ubuntu with python3, git and make; the rest is fetched.
# As root, `make test` installs the Debian packages that tests need (tools/packages.sh says
# which and why) and starts none of their services; otherwise such tests are skipped, by name.

PYTHON ?= python3
PYTEST_ARGS ?=
py := .venv/bin/python
covered := $(addprefix tests/unit/,varlink spec init container network)

.DEFAULT_GOAL := help
.PHONY: help venv run-venv demo test packages lint coverage bench test-vm docs pins clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 18

venv: ## make .venv with everything for development, from pinned packages
	@PYTHON=$(PYTHON) tools/venv.sh dev

run-venv:
	@PYTHON=$(PYTHON) tools/venv.sh run

demo: run-venv ## a container from start to end: run, exec, ps, stats, stop
	@PATH="$(CURDIR)/.venv/bin:$$PATH" sh examples/demo.sh

lint: venv ## ruff and mypy
	$(py) -m ruff check .
	$(py) -m ruff format --check .
	$(py) -m mypy

coverage: venv ## the pure parts, with every branch covered or a failure
	$(py) -m pytest -q --cov --cov-report=term $(covered)

test: venv packages lint coverage ## lint, coverage, then the other tests (PYTEST_ARGS picks some)
	$(py) -m pytest $(or $(PYTEST_ARGS),$(addprefix --ignore=,$(covered)))

packages: ## as root: install the Debian packages that tests need
	@tools/packages.sh install test

bench: venv ## measure, against the peers where they are installed
	@tools/packages.sh install bench
	$(py) -m pytest tests/bench -o python_files='bench_*.py' $(PYTEST_ARGS)

test-vm: ## as root: tests/vm in Debian's own kernel, in a software-emulated machine
	@PYTHON=$(PYTHON) tools/venv.sh vm
	@tools/packages.sh install test vm
	PYINIT_TEST_KERNEL=debian $(py) -m pytest tests/vm $(PYTEST_ARGS)

docs: venv ## check that the pages of docs/ hang together
	$(py) -m pytest -q tests/unit/test_docs.py

pins: ## write requirements/*.txt anew from pyproject.toml (PINS=--upgrade for the newest)
	@tools/pins.sh $(PINS)

clean: ## remove what the other targets made in this folder
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks build dist
	rm -rf .coverage .coverage.* *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
