# make demo: environment, install, the quickstart study.   make test: everything that must hold.
PYTHON ?= python3
TORCH  ?= auto
VENV   := .venv
PROTOC := .venv-protos
BIN    := $(VENV)/bin
# One thread per process: on small machines spinning OpenMP threads cost more than they give.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test install dev check lint types imports protos check-protos docs clean

demo: install
	$(BIN)/edgerig run examples/quickstart.yaml --data out/demo

install: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml tools/install.py
	$(PYTHON) tools/install.py --venv $(VENV) --torch $(TORCH)
	@touch $@

dev: $(VENV)/.installed-dev
$(VENV)/.installed-dev: pyproject.toml tools/install.py
	$(PYTHON) tools/install.py --venv $(VENV) --torch $(TORCH) --extras agent,controller,workload,eval,dev
	@touch $@ $(VENV)/.installed

test: dev check
	$(BIN)/python -m pytest -m "not gpu and not jetson" -n 2 --dist loadfile

check: lint types imports check-protos

lint: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: dev
	$(BIN)/mypy

imports: dev
	$(BIN)/lint-imports

$(PROTOC)/.installed: protos/requirements.txt
	$(PYTHON) -m venv $(PROTOC)
	$(PROTOC)/bin/pip install --quiet --disable-pip-version-check -r protos/requirements.txt
	@touch $@

# The generators are programs that protoc finds through PATH.
protos: $(PROTOC)/.installed
	PATH="$(CURDIR)/$(PROTOC)/bin:$$PATH" $(PROTOC)/bin/python protos/generate.py

check-protos: $(PROTOC)/.installed
	PATH="$(CURDIR)/$(PROTOC)/bin:$$PATH" $(PROTOC)/bin/python protos/generate.py --check

clean:
	rm -rf $(VENV) $(PROTOC) build dist out .mypy_cache .ruff_cache .pytest_cache
