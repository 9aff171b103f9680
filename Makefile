# All commands for working on this project. Paths are relative, so the folder's path may contain spaces.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help install test versions chaos soak check audit format demo bench picture screenshots sdk deploy-tools docs docs-tools lock clean
help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

install: $(INSTALLED)  ## create .venv and install everything into it

# Uses uv if it is installed (seconds), else pip. Both install exactly the versions in the lock file and check hashes.
$(INSTALLED): pyproject.toml requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed, this is $$($(PYTHON) -V): run 'make PYTHON=/path/to/python3.11'" >&2; exit 2; }
	@echo "Installing into .venv (only once); this takes a minute or two if nothing is cached."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv \
	  || { rm -rf .venv; echo "python3 cannot create virtual environments: install its venv module (Debian: python3-venv)" >&2; exit 2; }
	@if command -v uv >/dev/null 2>&1; then \
	  uv pip install --python $(BIN)/python --require-hashes -r requirements-dev.lock && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --offline -e . ; \
	else \
	  $(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements-dev.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e . ; \
	fi
	@touch $(INSTALLED)

# More processes than cores, because many tests wait for servers and signals. All tests of a file run in one process.
# Files start in the order of tests/conftest.py: some wait while others compute.
# Compiled modules are kept whatever the shell says, for the processes that tests start and for the next run.
test: install  ## run all tests; some: make test TEST=tests/core
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 5 --dist loadfile --no-loadscope-reorder $(TEST)

# Downloads what is not cached: about a minute for each version.
versions: install  ## test the wheel on Python 3.12 and 3.13, where they are installed
	POLLER_TEST_VERSIONS=1 $(BIN)/python -m pytest --durations=0 --durations-min=1 tests/test_python_versions.py

# Prints its seed first and a summary last. SEED=0 picks a random seed.
chaos: install  ## five minutes of random failures with three workers; repeat a run: make chaos SEED=…
	POLLER_TEST_CHAOS_SECONDS=$(or $(SECONDS),300) POLLER_TEST_CHAOS_SEED=$(or $(SEED),0) $(BIN)/python -m pytest -s tests/chaos

soak: install  ## a simulated month of service in half an hour; shorter: make soak SOAK="--days 1"
	$(BIN)/python -m tests.soak $(SOAK)

check: install  ## check format, lint, types, import contracts, unused and duplicate code, words, known vulnerabilities
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/vulture
	$(BIN)/pylint poller
	$(BIN)/pylint --min-similarity-lines=5 tests
	$(BIN)/python tools/plain_words.py
	$(BIN)/python tools/audit.py

audit: install  ## look for known vulnerabilities of the locked packages (needs deploy-tools and a network), list them
	$(BIN)/python tools/audit.py

format: install  ## format the code and apply the linter's automatic fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

demo: install  ## a simulated fleet with history and a running poller, without Zoho
	@$(BIN)/poller demo $(DEMO)

bench: install  ## measure the figures in docs/benchmarks.md; one group: make bench BENCH="poll --orgs 500"
	$(BIN)/python -m benchmarks $(BENCH)

picture: install  ## redraw docs/demo.svg, the picture of the demo
	$(BIN)/python docs/picture.py

screenshots: install  ## take docs/screenshots/*.png of the dashboard (needs Chromium)
	$(BIN)/python -m docs.screenshots $(SCREENSHOTS)

sdk: install  ## install Zoho's SDK into .venv/zoho-sdk for the tests that use it (they also do this themselves)
	$(BIN)/python -m tests.simulator.zoho_sdk

deploy-tools: install  ## install what checks the files of deploy/ (schemas of Compose and Kubernetes, hadolint)
	test -x .venv/deploy-tools/bin/python || $(BIN)/python -m venv .venv/deploy-tools
	.venv/deploy-tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-deploy.lock

docs: docs-tools  ## build the documents as a site in build/docs; every warning is an error
	NO_MKDOCS_2_WARNING=1 .venv/docs-tools/bin/mkdocs build

docs-tools: install  ## install what builds the site of the documents
	test -x .venv/docs-tools/bin/python || $(BIN)/python -m venv .venv/docs-tools
	.venv/docs-tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.lock

lock:  ## resolve the dependencies and write the lock files (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make lock' pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make lock' --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make lock' --group deploy -o requirements-deploy.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make lock' --group docs -o requirements-docs.lock
	echo hatchling | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make lock' -c requirements-dev.lock - -o requirements-build.lock

clean:  ## remove .venv, caches and builds
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
