# The targets people use. Each makes its own environment on a fresh machine with Python 3.11 or newer.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test lint docs picture proof mutants crash bench bench-small dist sbom lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

demo: $(READY)  ## audit the built-in incident and write report.html, report.md, report.json
	$(BIN)/drift-audit demo

test: $(READY)  ## run the tests with branch coverage
	$(BIN)/python -m tests.gate

lint: $(READY)  ## check style, types and the rules between modules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)  ## write docs/rules.md, docs/cli.md and the texts of explain anew
	$(BIN)/python docs/generate.py

picture: $(READY)  ## take the picture of the report that the README shows
	$(BIN)/python -m tests.picture

proof: $(READY)  ## hold every promise against what could break it, and write docs/proof.md: an hour or two
	nice -n 15 $(BIN)/python -m tests.proof $(NAMES)

mutants: $(READY)  ## make faults in the core, and tell which of them no test notices
	nice -n 15 $(BIN)/python -m tests.mutants $(NAMES)

crash: $(READY)  ## kill writers, fail their system calls, and look at what is left of the files
	nice -n 15 $(BIN)/python -m tests.crash --kills 2000

bench: $(READY)  ## measure everything against the floor and gcloud, and write docs/performance.md
	$(BIN)/python -m bench.run --json=bench/results/latest.json
	$(BIN)/python -m bench.page

bench-small: $(READY)  ## measure a small part, in a minute or two
	$(BIN)/python -m bench.run --profile=small --json=bench/results/small.json

dist: $(READY)  ## build wheel and sdist, the same bytes wherever they are built
	rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m hatchling build -d dist

sbom: $(READY)  ## write what users install beside drift-audit, with hashes, to dist/sbom.cdx.json
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m tests.sbom dist/sbom.cdx.json

LOCK = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --quiet $(UPGRADE)
EXTRAS := detect gcs github jira metrics notify

lock: $(READY)  ## pin what pyproject.toml names, with hashes; newer versions with UPGRADE=--upgrade
	$(BIN)/pip install -q uv
	$(LOCK) pyproject.toml --extra dev -o requirements-dev.txt
	$(LOCK) pyproject.toml $(EXTRAS:%=--extra %) -c requirements-dev.txt -o requirements.txt
	$(LOCK) .github/tools.in -c requirements-dev.txt -o .github/tools.txt

clean:  ## remove what the other targets made
	rm -rf .venv .mutants .fuzz .coverage* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist

$(READY): requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes -r requirements-dev.txt
	$(BIN)/pip install --quiet --no-build-isolation --no-deps -e .
	touch $@
