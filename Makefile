# `make demo` and `make test` do all their own set-up: python3 (3.11 or newer), its venv module and make are enough.
.PHONY: demo test cluster-up cluster-down test-cluster lint types bench lock clean help
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet --no-input
DEMO_RESULTS ?= results

help:  ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

# What is installed is decided by the lock files alone; a stamp says which of them the environment holds.
$(VENV)/run.stamp: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "meshtrial needs Python 3.11 or newer")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing what meshtrial needs into $(VENV) (about a minute)" >&2
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock pyproject.toml $(VENV)/run.stamp
	@echo "installing what tests and checks need into $(VENV)" >&2
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/run.stamp  ## a quick run of the request-timeout experiment, and where its report is
	@folder="$$($(BIN)/meshtrial run --quick --fresh --results $(DEMO_RESULTS) experiments/request-timeout.yaml)"; code=$$?; \
		test -z "$$folder" || echo "open $$PWD/$$folder/report.html"; exit $$code

# Tests that generate load want the machine to themselves; the others share it.
LOADED := tests/load tests/cli tests/e2e tests/docs

test: $(VENV)/dev.stamp  ## all tests
	@$(BIN)/python -m pytest -q -n 2 $(addprefix --ignore=,$(LOADED) tests/cluster)
	@$(BIN)/python -m pytest -q $(wildcard $(LOADED))

# A real Kubernetes with Istio on this machine; needs root, Go and a few of Debian's packages, which it names.
cluster-up: $(VENV)/dev.stamp  ## a real cluster with Istio on this machine (root); the last line is its kubeconfig
	@$(BIN)/python -m tests.cluster.rig up

cluster-down:  ## end it; nothing is left but what was built
	@$(BIN)/python -m tests.cluster.rig down

CLUSTER_TESTS ?= tests/cluster

test-cluster: $(VENV)/dev.stamp  ## the tests on a real cluster: that one, or the one of MESHTRIAL_KUBECONFIG
	@$(BIN)/python -m tests.cluster.rig run $(BIN)/python -m pytest -q $(CLUSTER_TESTS)

lint: $(VENV)/dev.stamp  ## ruff, import contracts and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy

bench: $(VENV)/dev.stamp  ## the measurements in docs/benchmarks.md
	@$(BIN)/python -m bench

lock:  ## renew the lock files from pyproject.toml (needs uv)
	@uv pip compile pyproject.toml --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
		--group build --quiet -o requirements.lock
	@uv pip compile pyproject.toml --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
		--group dev -c requirements.lock --quiet -o requirements-dev.lock

clean:  ## remove what was installed and measured here
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find results -mindepth 1 ! -name README.md -delete
