# Thin: every target is a line over `pulumi` or `circlepay`; tools/environment.sh makes what they need.
STACK ?= local
DATA ?= keep
CONFIRM ?=
REQUIRE_ALL ?=
PYTEST ?=
export STACK DATA CONFIRM REQUIRE_ALL

IN_ENVIRONMENT := @tools/environment.sh

.DEFAULT_GOAL := help
.PHONY: help up preview verify status down purge test bench lint fmt

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
	@echo '  make bench     measure against the raw limits'
	@echo '  make lint      ruff, mypy, import rules, shellcheck'
	@echo '  make fmt       format the code'
	@echo
	@echo '  STACK=$(STACK)   the stack: local (default), dev, prod, or any other'
	@echo
	@echo '  tools/environment.sh circlepay VERB: monitor, status, logs, restart, psql, redis-cli, summary,'
	@echo '                 findings, preview, verify, purge; --help explains each'
	@echo
	@echo 'Without make: eval "$$(tools/environment.sh --export)", then `pulumi up` and `circlepay --help`.'

up preview down:
	$(IN_ENVIRONMENT) tools/stack.sh $@

verify status:
	$(IN_ENVIRONMENT) circlepay $@

purge:
	$(IN_ENVIRONMENT) --bare tools.purge

test: lint
	$(IN_ENVIRONMENT) pytest $(PYTEST)

bench:
	$(IN_ENVIRONMENT) python -m tests.bench

lint:
	$(IN_ENVIRONMENT) --no-toolchain tools/lint.sh

fmt:
	$(IN_ENVIRONMENT) --no-toolchain sh -c 'ruff check --fix-only --quiet . && ruff format --quiet .'
