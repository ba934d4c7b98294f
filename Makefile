# Thin: every target is a line over `pulumi` or `circlepay`; tools/environment.sh makes what they need.
STACK ?=
DATA ?= keep
CONFIRM ?=
REQUIRE_ALL ?=
PYTEST ?=
export STACK DATA CONFIRM REQUIRE_ALL

IN_ENVIRONMENT := @tools/environment.sh

.DEFAULT_GOAL := help
.PHONY: help up preview verify status down purge test faults bench lint fmt

help:
	@echo 'CirclePay infrastructure: PostgreSQL and Redis, running and verified.'
	@echo
	@echo '  make up        bring the stack up, or mend what drifted; ends with a summary'
	@echo '  make preview   show what `make up` would change, and touch nothing'
	@echo '  make verify    look at a running stack from outside: settings, objects, privileges'
	@echo '  make status    what runs where, and what drifted'
	@echo '  make down      stop the servers and keep the data; DATA=delete deletes it, and its passwords'
	@echo '  make purge     remove everything this clone put on the machine, data included'
	@echo '                 both ask before they delete; CONFIRM=delete and CONFIRM=purge answer beforehand'
	@echo '  make test      lint, then the tests; REQUIRE_ALL=1 allows no skips; PYTEST="-k roles" picks some'
	@echo '  make faults    kill an `up` after every single resource; make test does it after some'
	@echo '  make bench     measure against the raw limits'
	@echo '  make lint      ruff, mypy, import rules, shellcheck'
	@echo '  make fmt       format the code'
	@echo
	@echo '  STACK=$(or $(STACK),local)   the stack: local (default), dev, prod, or any other'
	@echo
	@echo '  tools/environment.sh circlepay VERB: up, down, monitor, status, logs, restart, psql, redis-cli,'
	@echo '                 summary, findings, preview, verify, adopt, purge; --help explains each'
	@echo
	@echo 'Without make: eval "$$(tools/environment.sh --export)", then `pulumi up` and `circlepay --help`.'

up verify status down:
	$(IN_ENVIRONMENT) circlepay $@

# 2 says that there is something to change, which is no failure here.
preview:
	$(IN_ENVIRONMENT) sh -c 'circlepay preview --create || test $$? -eq 2'

purge:
	$(IN_ENVIRONMENT) --bare infra.operations.purge

# Two at a time: an `up` keeps one processor busy. Tests that share a stack share a process.
test: lint
ifeq ($(PYTEST),)
	$(IN_ENVIRONMENT) pytest tests/unit tests/machines --numprocesses 2 --dist loadfile
	$(IN_ENVIRONMENT) pytest tests/contract --numprocesses 2 --dist loadscope --no-loadscope-reorder
else
	$(IN_ENVIRONMENT) pytest $(PYTEST)
endif

faults:
	$(IN_ENVIRONMENT) env EVERY_FAULT=1 pytest tests/contract/test_killed_up.py

bench:
	$(IN_ENVIRONMENT) python -m tests.bench

lint:
	$(IN_ENVIRONMENT) --no-toolchain tools/lint.sh

fmt:
	$(IN_ENVIRONMENT) --no-toolchain sh -c 'ruff check --fix-only --quiet . && ruff format --quiet .'
