# make compare: trains the experiments through every backend and writes comparison/results/quick/
# make test:    lint, format, types, and all tests, through the clients in their environments, which it makes where they are absent
# Both make .venv first, with everything that they need; a second run reuses it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Training here needs no GPU, so the light CPU build of torch is taken: from pip's own --find-links where that is configured (offline
# machines), else by uv's torch backend.
FIND_LINKS := $(if $(PIP_FIND_LINKS),$(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
ifneq ($(strip $(FIND_LINKS)),)
export UV_FIND_LINKS ?= $(strip $(FIND_LINKS))
else
export UV_TORCH_BACKEND ?= cpu
endif
export UV_LINK_MODE ?= copy

.PHONY: compare test lint bench matrix clean

compare: $(READY)
	$(BIN)/python -m trackbridge_examples.data
	$(BIN)/python -m trackbridge.compare $(ARGS)
	$(BIN)/python docs/generate.py

test: lint
	$(BIN)/trackbridge env create all
	$(BIN)/python -m pytest -n 3 --dist loadfile $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m trackbridge.testing.matrix --check
	$(BIN)/python docs/generate.py --check

bench: $(READY)
	$(BIN)/python -m benchmarks $(ARGS)
	$(BIN)/python docs/generate.py

matrix: $(READY)
	$(BIN)/python -m trackbridge.testing.matrix --write adapters/README.md

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "the venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
