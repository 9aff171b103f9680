# Everything a person or a machine runs on this project. Paths are relative, so a space in the path is harmless.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help install test chaos soak check format demo bench picture sdk lock clean
help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

install: $(INSTALLED)  ## make .venv with everything in it

# uv where it is installed (seconds), pip otherwise; both install exactly what the lock names, by hash.
$(INSTALLED): pyproject.toml requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed, this is $$($(PYTHON) -V): run 'make PYTHON=/path/to/python3.11'" >&2; exit 2; }
	@echo "Installing into .venv, once; a minute or two where nothing is cached."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv \
	  || { rm -rf .venv; echo "python3 cannot make environments: install its venv module (Debian: python3-venv)" >&2; exit 2; }
	@if command -v uv >/dev/null 2>&1; then \
	  uv pip install --python $(BIN)/python --require-hashes -r requirements-dev.lock && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --offline -e . ; \
	else \
	  $(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements-dev.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e . ; \
	fi
	@touch $(INSTALLED)

# More processes than cores, a file's tests in one of them: much of the suite waits for servers and signals. Files are
# handed out in the order of tests/conftest.py, the long ones first.
test: install  ## every test, or make test TEST=tests/core for some
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(TEST)

# It prints its seed first, and what it came to at last. A seed of 0 is another one every time.
chaos: install  ## a storm of five minutes over three workers, or make chaos SEED=… for the same again
	POLLER_TEST_CHAOS_SECONDS=$(or $(SECONDS),300) POLLER_TEST_CHAOS_SEED=$(or $(SEED),0) $(BIN)/python -m pytest -s tests/chaos

soak: install  ## the service for a month in half an hour, or make soak SOAK="--days 1" for a try
	$(BIN)/python -m tests.soak $(SOAK)

check: install  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: install  ## put the format right, and what the linter can mend by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

demo: install  ## a fleet, its history and a poller at work, without Zoho
	@$(BIN)/poller demo $(DEMO)

bench: install  ## the figures the documents quote: make bench BENCH="poll --orgs 500" for one of them
	$(BIN)/python -m benchmarks $(BENCH)

picture: install  ## draw docs/demo.svg, the demo in a terminal
	$(BIN)/python docs/picture.py

sdk: install  ## Zoho's own SDK, in .venv/zoho-sdk, for the tests that ask it (they fetch it too)
	$(BIN)/python -m tests.simulator.zoho_sdk

lock:  ## resolve the dependencies anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make lock' pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make lock' --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	echo hatchling | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make lock' -c requirements-dev.lock - -o requirements-build.lock

clean:  ## remove what was made here
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
