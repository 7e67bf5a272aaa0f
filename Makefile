# On a machine with python3 (3.11 or newer, with venv and pip) and make, each of these sets up by itself:
#
#   make demo    two brokers on this machine, a refused and a granted spawn, its log live
#   make test    the tests (some minutes)
#   make test-agents   the real claude and codex against a stub of their models, real MCP servers (needs npm; ALL=1: five more)
#   make test-web      the dashboard in Debian's Chromium (needs it, and npm); pictures in build/web
#   make check   lint, types and the floors between the packages
#   make chaos   the long crash and fuzz runs, with their counts
#   make bench   the measurements, ratios first (redis-server and sshd are measured beside it where they are installed)
#   make audit   whether a package of the lock has a known hole (asks a database on the network)
#   make lock    requirements.lock anew from pyproject.toml (needs uv; nothing else does)
#
# PYTHON=python3.13 picks another interpreter, VENV=dir another place for the environment.

PYTHON ?= python3
VENV ?= .venv
BENCH ?= .venv-bench
PEERS ?= .venv-bench-peers
AUDIT ?= .venv-audit
AGENTS ?= .agents
WEB ?= .web
UV ?= uv
WORKERS ?= 4
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test agents test-agents test-web check chaos bench peers audit lock setup clean
.DEFAULT_GOAL := demo

demo: $(READY)
	@$(BIN)/relay demo

# The workers share what they make of the tests' modules: without a cache of bytecode each makes all of it. Each begins
# with a part of its own, whose brokers it starts alone, and who is done first takes from the others.
test: $(READY)
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# The versions stand in tests/agents/npm; claude's own install script puts its program in place, the others need none.
AGENT_SETS := main tools $(if $(ALL),all py-aider py-llm)

agents: $(AGENT_SETS:%=$(AGENTS)/%/.ready)

$(AGENTS)/%/.ready: tests/agents/npm/%/package.json tests/agents/npm/%/package-lock.json
	@command -v npm >/dev/null || { \
	  echo "error: npm is not installed, and the agents come by it"; \
	  echo "try: sudo apt-get install npm, or Node 20 from its makers; make test needs neither"; exit 1; } >&2
	@echo "setting up $(AGENTS)/$* ..." >&2
	@mkdir -p $(AGENTS)/$* && cp tests/agents/npm/$*/package.json tests/agents/npm/$*/package-lock.json $(AGENTS)/$*/
	@cd $(AGENTS)/$* && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@for script in claude-code/install.cjs; do \
	  f=$(AGENTS)/$*/node_modules/@anthropic-ai/$$script; test ! -e $$f || (cd $${f%/*} && node install.cjs); done
	@touch $@

# Each in an environment of its own: aider asks for exact versions of much. Of its bin only the program is put on a PATH.
$(AGENTS)/py-%/.ready: tests/agents/pip/%.lock
	@echo "setting up $(AGENTS)/py-$* ..." >&2
	@$(PYTHON) -m venv $(AGENTS)/py-$*
	@$(AGENTS)/py-$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@mkdir -p $(AGENTS)/py-$*/programs && ln -sf ../bin/$* $(AGENTS)/py-$*/programs/$*
	@touch $@

test-agents: $(READY) agents
	@AGENTS=$(abspath $(AGENTS)) $(BIN)/python -m pytest -m agents -n 2 tests/agents

$(WEB)/.ready: tests/web/npm/package.json tests/web/npm/package-lock.json
	@command -v npm >/dev/null || { \
	  echo "error: npm is not installed, and axe-core comes by it"; \
	  echo "try: sudo apt-get install npm, or Node 20 from its makers; make test needs neither"; exit 1; } >&2
	@mkdir -p $(WEB) && cp tests/web/npm/package.json tests/web/npm/package-lock.json $(WEB)/
	@cd $(WEB) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

test-web: $(READY) $(WEB)/.ready
	@WEB=$(abspath $(WEB)) $(BIN)/python -m pytest -m web -n 2 tests/web

check: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

chaos: $(READY)
	@$(BIN)/python -m pytest -m chaos -s -p no:xdist

# With the fastest interpreter here, ours and the peers' alike: of one version, one that was built without optimisation
# takes half as long again.
bench:
	@python=$$($(PYTHON) bench/interpreter.py $(PYTHON) /usr/bin/python3) && \
	  $(MAKE) --silent --no-print-directory setup peers VENV=$(BENCH) PYTHON=$$python
	@BENCH_PEERS_PYTHON=$(abspath $(PEERS)/bin/python) $(BENCH)/bin/python -m bench

# What the measurements stand beside. Without it they are made all the same, and say that it is missing.
peers:
	@test -e $(PEERS)/.ready || { \
	  echo "setting up $(PEERS) ..." >&2; \
	  $(PYTHON) -m venv $(PEERS) && \
	  $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	    -r bench/peers/requirements.lock && \
	  touch $(PEERS)/.ready; } || rm -rf $(PEERS)

# Whether what is locked has a known hole. Says so, and fails, where the database cannot be reached: silence is no yes.
audit: $(READY)
	@test -e $(AUDIT)/.ready || { \
	  echo "setting up $(AUDIT) ..." >&2; \
	  $(PYTHON) -m venv $(AUDIT) && \
	  $(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/audit.lock && \
	  touch $(AUDIT)/.ready; }
	@$(AUDIT)/bin/python -m pip_audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements.lock || { \
	  echo "error: the lock was not found to be clean"; \
	  echo "why: a hole is listed above, or the database could not be reached, or not asked of a package"; \
	  echo "try: make lock for newer versions; or make audit from a network that reaches it"; exit 1; } >&2

LOCK := pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
  --no-emit-find-links --custom-compile-command "make lock"

lock:
	@$(UV) $(LOCK) --group dev --output-file requirements.lock pyproject.toml
	@$(UV) $(LOCK) --group pyproject.toml:peers --output-file bench/peers/requirements.lock
	@$(UV) $(LOCK) --group pyproject.toml:audit --output-file .ci/audit.lock
	@for agent in aider llm; do \
	  $(UV) $(LOCK) --output-file tests/agents/pip/$$agent.lock tests/agents/pip/$$agent.in; done

setup: $(READY)

# The stamp is touched last: a set-up that was cut off is done again.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is not Python 3.11 or newer"; \
	  echo "try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: $(PYTHON) cannot make virtual environments"; \
	  echo "why: Debian and Ubuntu ship venv and pip apart from python3"; \
	  echo "try: sudo apt-get install python3-venv"; exit 1; } >&2
	@echo "setting up $(VENV) ..." >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

clean:
	rm -rf $(VENV) $(BENCH) $(PEERS) $(AUDIT) $(AGENTS) $(WEB) build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
