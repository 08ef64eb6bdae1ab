# make run: the whole pipeline on the active params.yaml (default: the bundled sample). make test: the tests.
# Each sets up its own environment in .venv first; `make env` does only that.
SHELL := /bin/bash
PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
ENV := .venv/.made-from-lock
ACTIVE := PATH="$(CURDIR)/.venv/bin:$$PATH"
# packages come from .venv alone
unexport PYTHONPATH PYTHONHOME
export PIP_USER := 0

.PHONY: run demo test test-slow lint format env lock lock-extras clean

run: $(ENV)
	@$(ACTIVE) snakemake --cores $(CORES)
	@echo
	@$(ACTIVE) dvc metrics show
	@echo
	@echo "Report: results/report/index.html"
	@echo "To type snakemake, dvc and python -m stages.<stage> yourself: source .venv/bin/activate"

# people in your own photographs: make demo IMAGES="holiday.jpg folder"; without, on the bundled drawings
demo: $(ENV)
	@$(ACTIVE) python -m stages.predict $(or $(IMAGES),docs/sample_sheet.jpg) --output results/demo
	@echo "Drawings: results/demo"

test: $(ENV)
	@$(ACTIVE) python -m pytest -m "not slow" -n 2 $(PYTEST_ARGS)

test-slow: $(ENV)
	@$(ACTIVE) python -m pytest -m slow -n 2 --dist loadscope $(PYTEST_ARGS)

lint: $(ENV)
	@$(ACTIVE) ruff check . && $(ACTIVE) ruff format --check .
	@$(ACTIVE) snakefmt --check Snakefile workflow
	@$(ACTIVE) snakemake --lint
	@$(ACTIVE) lint-imports --no-logo && $(ACTIVE) mypy

format: $(ENV)
	@$(ACTIVE) ruff check --fix . ; $(ACTIVE) ruff format . ; $(ACTIVE) snakefmt Snakefile workflow

env: $(ENV)

$(ENV): envs/requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON) found; install Python 3.11, 3.12 or 3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "error: $(PYTHON) is `$(PYTHON) -V 2>&1`; this project runs on Python 3.11, 3.12 and 3.13." \
	  "Name one: make $(firstword $(MAKECMDGOALS) run) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: $(PYTHON) lacks the venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Making .venv from envs/requirements.lock (some minutes, about 2.5 GB) ..."
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r envs/requirements.lock
	@# numeric code is compiled at its first call and kept: here, so that the first image of a user need not wait for it
	@scratch=`mktemp -d` && .venv/bin/python -m stages.predict docs/sample_sheet.jpg --output $$scratch/out >$$scratch/log 2>&1 \
	  || { cat $$scratch/log >&2; rm -r $$scratch; exit 1; }; rm -r $$scratch
	@touch $(ENV)

# New pins for everything: needs uv (pip install uv). The extras' locks add packages to envs/requirements.lock, at its pins.
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url

lock:
	$(COMPILE) --upgrade --extra pipeline --extra test pyproject.toml -o envs/requirements.lock
	$(PYTHON) -m stages.versions
	$(MAKE) lock-extras

lock-extras:
	sed 's/ [\\]$$//; /--hash/d' envs/requirements.lock > .lock-constraints
	$(COMPILE) --extra pipeline --extra test --extra openvino --extra s3 --extra ssh --extra slurm --extra export --extra judge \
	  --extra convert --extra test-remotes --extra test-backends --extra test-page -c .lock-constraints \
	  pyproject.toml -o envs/requirements-extras.lock
	$(COMPILE) --extra pipeline --extra test --extra gpu-jax -c .lock-constraints pyproject.toml -o envs/requirements-gpu-jax.lock
	$(COMPILE) --extra pipeline --extra test --extra gpu-tensorflow -c .lock-constraints pyproject.toml -o envs/requirements-gpu-tensorflow.lock
	rm .lock-constraints

clean:
	rm -rf results/detect results/report results/runs results/checkpoints results/tensorboard logs .snakemake
