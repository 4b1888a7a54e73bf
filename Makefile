# make demo, make test and make lint each make .venv first when it is missing or out of date.

BIN := .venv/bin
# The lock was made with 3.11, so it is asked first. Extra arguments of pip go into PIP_ARGS.
PYTHONS := python3.11 python3.12 python3.13 python3
PIP_ARGS ?=
# How many processes share the tests that need not come in time; much of a test is waiting.
WORKERS ?= 2

# MuJoCo's own default on Linux wants a window; EGL renders without one.
ifeq ($(shell uname -s),Linux)
export MUJOCO_GL ?= egl
endif

.PHONY: demo test lint ruff mypy pyright

demo: .venv/installed
	$(BIN)/demoloop demo

# The hand tracker is no package that pip may install beside the others; it is fetched once.
# The doctor goes first, so that a missing system part is named before a test trips over it.
# A test of an arm that must get its bytes in time has the machine for itself, after the others.
test: .venv/installed
	@$(BIN)/demoloop hand || echo "make test: without the hand tracker some tests are left out"
	@$(BIN)/demoloop doctor || echo "make test: the rows above say what is missing; some tests will fail"
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m 'not realtime'
	$(BIN)/python -m pytest -m realtime

# make -j2 -O lint looks at types with both at once.
lint: ruff mypy pyright

ruff: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check

mypy: .venv/installed
	$(BIN)/mypy

pyright: .venv/installed
	$(BIN)/pyright

# A stamp, newer than what it was installed from. A version manager's python may exist and still
# not run, so each one found is started, and asked for venv, which Debian packs apart.
.venv/installed: pyproject.toml requirements.lock
	@if [ ! -x $(BIN)/python ]; then \
	  for python in $(PYTHONS); do \
	    if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	        2>/dev/null; then \
	      echo "making .venv with $$python"; $$python -m venv .venv; exit; \
	    fi; \
	  done; \
	  echo "no Python >= 3.11 with venv among: $(PYTHONS);" \
	    "on Debian or Ubuntu: sudo apt install python3 python3-venv" >&2; \
	  exit 1; \
	fi
	$(BIN)/python -m pip install -e '.[dev]' -c requirements.lock $(PIP_ARGS)
	@touch $@
