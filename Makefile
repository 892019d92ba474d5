# Everything a person or a machine runs here. `make setup` makes .venv once; the others see to it themselves.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

export HF_HUB_OFFLINE ?= 1

.PHONY: setup test lint demo bench bench-peers truth truth-tables world clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/mypy

demo: $(READY)
	$(BIN)/assay demo --out demo

# Slow: minutes to an hour. Results are recorded in docs/benchmarks.md.
bench: $(READY)
	for order in arrival length; do for vocabulary in 16000 128000; do \
		$(BIN)/python benchmarks/engine.py --order $$order --vocabulary $$vocabulary || exit; done; done
	$(BIN)/python benchmarks/swap.py

# Slow: half an hour. Other libraries on the same work, in an environment of their own; recorded in docs/benchmarks.md.
PEERS := .venv-peers
PEERS_READY := $(PEERS)/.ready

bench-peers: $(READY) $(PEERS_READY)
	$(BIN)/python benchmarks/peers/agreement.py --peers $(PEERS)/bin/python
	$(BIN)/python benchmarks/peers/run.py --peers $(PEERS)/bin/python

$(PEERS_READY): benchmarks/peers/needs.txt benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -r benchmarks/peers/needs.txt
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/peers/requirements.txt
	touch $(PEERS_READY)

# Slow: hours. Holds predictions against the shipped tables of truth; results are recorded in docs/truth.md.
truth: $(READY)
	for world in 0 1; do $(BIN)/assay truth --world $$world --out truth/world$$world || exit; done

# Slower: the tables of truth from nothing, beside the shipped ones. Several such commands may share the work (--part).
truth-tables: $(READY)
	for world in 0 1; do \
		build="$(BIN)/python -m assay.truth.build --world $$world --out truth/build$$world --table truth/table$$world.parquet"; \
		$$build && $$build --write || exit; done

# Rebuilds the shipped base model of the embedded world from nothing (half an hour).
world: $(READY)
	$(BIN)/python -m assay.world.pretrain --out world-base --seed 0

clean:
	rm -rf .venv .venv-peers build demo world-base truth
