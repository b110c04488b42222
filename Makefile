# On a fresh machine: make run, make test. The other targets are for work on raypipe itself.
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
# The first supported interpreter on the PATH; PYTHON=... selects another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
export RAY_USAGE_STATS_ENABLED := 0

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 23

run: $(VENV)/run  ## Run the whole job on the sample books, then search them
	@$(BIN)/python -m raypipe

test: $(VENV)/dev  ## Run the tests (unit tests, then real OpenSearch node, S3 server, Ray)
	@$(BIN)/python -m pytest tests/unit -n 2
	@$(BIN)/python -m pytest tests/integration -n 2 --dist loadfile

test-slow: $(VENV)/dev  ## Run the slow tests (clusters, ray up, kills, services, wheel, other Pythons)
	@$(BIN)/python -m pytest tests/slow

test-unit: $(VENV)/dev  ## Run only the fast tests
	@$(BIN)/python -m pytest tests/unit -n 2

chaos: $(VENV)/dev  ## Kill jobs at random, CHAOS_KILLS=20 times (10 minutes), and check that nothing is lost
	@CHAOS_KILLS=$${CHAOS_KILLS:-20} $(BIN)/python -m pytest tests/slow/chaos -o log_cli=true -o log_cli_level=WARNING

mutations: $(VENV)/dev  ## Break each rule in tests/mutation_list, and check that a test fails (ARGS="--only quota")
	@$(BIN)/python tests/mutations.py $(ARGS)

bench: $(VENV)/dev  ## Run all benchmarks; each prints one JSON line (RESULTS=benchmarks/results keeps the lines)
	@set -e; export BENCH_RESULTS=$(abspath $(RESULTS)); for bench in tests/benchmarks/bench_*.py; do echo "== $$bench"; $(BIN)/python $$bench; done

compare: $(VENV)/dev  ## Do the same job with raypipe, a script and five frameworks (ARGS="--peers raypipe_local plain_script")
	@$(BIN)/python -m tests.benchmarks.compare $(ARGS)

# Targets and variables of the scripts that raypipe replaces; docs/guides/migrating.md maps each flag to an option.
BUCKET ?=
PROFILE ?=
MAX_WORKERS ?= 4
BATCH_SIZE ?= 100
OPENSEARCH_ENDPOINT ?=
INDEX_NAME ?= book-summaries
MAX_BOOKS ?=
NO_CHECKPOINT ?=
PURGE ?=
ARGS ?=
source = $(if $(BUCKET),storage=s3 storage.bucket=$(BUCKET)) $(if $(PROFILE),storage.profile=$(PROFILE))
target = $(if $(OPENSEARCH_ENDPOINT),opensearch=self_managed opensearch.endpoint=$(OPENSEARCH_ENDPOINT)) \
	opensearch.index=$(INDEX_NAME) opensearch.max_docs=$(BATCH_SIZE)
index = $(if $(OPENSEARCH_ENDPOINT),$(target),opensearch=none)
options = $(if $(MAX_BOOKS),limit=$(MAX_BOOKS)) $(if $(NO_CHECKPOINT),checkpoint=none) $(if $(PURGE),purge=true)

generate-summaries: $(VENV)/run  ## Summarize the books of a bucket (BUCKET=...); index them if OPENSEARCH_ENDPOINT is given
	@$(BIN)/python -m raypipe run $(source) $(index) stages.summarize.workers=$(MAX_WORKERS) $(options) $(ARGS)

bulk-index-summaries: $(VENV)/run  ## Index the summaries (OPENSEARCH_ENDPOINT=..., or the embedded node)
	@$(BIN)/python -m raypipe index $(target) $(options) $(ARGS)

test-processing: $(VENV)/run  ## Try three books with two workers
	@$(BIN)/python -m raypipe run $(source) $(index) stages.summarize.workers=2 limit=3 $(ARGS)

lint: $(VENV)/dev  ## Check the style and the import layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache

format: $(VENV)/dev  ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

typecheck: $(VENV)/dev  ## Check the types with mypy --strict
	@$(BIN)/mypy

docs: $(VENV)/dev  ## Write the pages and tables of docs/ that are made from the code and the benchmarks
	@$(BIN)/python -m tests.generated_pages

site: $(VENV)/dev  ## Build the site of the documentation in build/site; a warning is an error
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -c docs -d build/doctrees . build/site

demo: $(VENV)/dev  ## Draw docs/images from a real run of the sample books; needs Chromium (2 minutes)
	@$(BIN)/python -m tests.demo

install: $(VENV)/dev  ## Set up .venv for development

build: $(VENV)/dev  ## Build the wheel
	@$(BIN)/python -m build --wheel

clean:  ## Remove the environment and the embedded services' data
	@if [ -x $(BIN)/raypipe ]; then $(BIN)/raypipe down; fi
	rm -rf $(VENV) raypipe-data processing.log dist build

$(VENV)/run: pyproject.toml constraints.txt
	@$(call install,embedded)

$(VENV)/dev: pyproject.toml constraints.txt
	@$(call install,dev)
	@touch $(VENV)/run

# uv installs the same wheels as pip in a tenth of the time; pip is the fallback if uv cannot run.
define install
	if [ -z "$(PYTHON)" ]; then echo "raypipe needs Python 3.11, 3.12 or 3.13; set PYTHON=/path/to/python"; exit 1; fi; \
	echo "Setting up $(VENV) ..."; \
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || \
		{ echo "python3 -m venv failed; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv; \
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python -c constraints.txt -e ".[$(1)]" || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(1)]" || exit 1; \
	if [ -n "$$PYTHONDONTWRITEBYTECODE" ]; then $(call compile); fi; \
	touch $(VENV)/$(1) $(VENV)/run
endef

# With PYTHONDONTWRITEBYTECODE, as in many containers, every worker of Ray would compile these
# packages again: three seconds of a core, ten times in a run. uv, unlike pip, does not compile them.
define compile
(cd $(VENV)/lib/python3.*/site-packages && \
	../../../bin/python -m compileall -q -j 0 -x '/(tests|llm|rllib|serve|train|tune)/' \
	aiohttp attr boto3 botocore dateutil google grpc hydra jsonschema numpy omegaconf opensearchpy \
	pandas pyarrow ray requests tqdm urllib3 wcwidth yaml)
endef

.PHONY: help run generate-summaries bulk-index-summaries test-processing test test-slow test-unit chaos mutations bench compare lint format typecheck docs site demo install build clean
