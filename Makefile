# make demo   word count over the Python standard library's sources
# make test   every test, the style and the types, through tox
# Both make .venv when it is missing; nothing outside this directory is changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	$(BIN)/discolocal demo

test: $(VENV)/tox
	$(BIN)/tox run

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed")'
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "the venv module of $(PYTHON) is needed (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(BIN)/python setup.cfg setup.py pyproject.toml
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable .
	@touch $@

$(VENV)/tox: $(VENV)/installed
	$(BIN)/python -m pip install -qq --disable-pip-version-check 'tox>=4.11'
	@touch $@

clean:
	rm -rf $(VENV) .tox build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
