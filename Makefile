# make demo: environment, install, the quickstart study.   make test: everything that must hold.
PYTHON ?= python3
TORCH  ?= auto
VENV   := .venv
PROTOC := .venv-protos
BIN    := $(VENV)/bin
# One thread per process: on small machines spinning OpenMP threads cost more than they give.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test install dev check lint types imports protos check-protos contract contract-image docs clean

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
	$(BIN)/python -m pytest -m "not gpu and not jetson" -n 3 --dist loadfile --no-loadscope-reorder --durations 15

check: lint types imports check-protos contract

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

# The last protocol minor that was released: what it says must go on meaning the same. Needs no network.
CONTRACT := protos/images/v1.0.binpb
contract: dev
	@if [ -x $(BIN)/buf ]; then cd protos && ../$(BIN)/buf lint && ../$(BIN)/buf breaking --against images/$(notdir $(CONTRACT)); \
	else echo "buf is not installed here; tests/protos/test_contract.py compares the contract without it"; fi

# At the release of a new minor: raise CONTRACT, then make its image.
contract-image: dev
	cd protos && ../$(BIN)/buf build --exclude-source-info -o images/$(notdir $(CONTRACT))

clean:
	rm -rf $(VENV) $(PROTOC) build dist out .mypy_cache .ruff_cache .pytest_cache
