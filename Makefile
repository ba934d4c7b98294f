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

# As infra/operations/words.py decides it; before there is Python.
LANGUAGE_ASKED := $(or $(LC_ALL),$(LC_MESSAGES),$(LANG))

help:
ifneq ($(filter ko ko_% ko.% ko@% ko-%,$(LANGUAGE_ASKED)),)
	@echo 'CirclePay 인프라: 실행 중이고 검증된 PostgreSQL과 Redis.'
	@echo
	@echo '  make up        스택을 띄우거나 어긋난 것을 고치고, 요약으로 끝냅니다'
	@echo '  make preview   `make up`이 무엇을 바꿀지 보여 주고, 아무것도 건드리지 않습니다'
	@echo '  make verify    실행 중인 스택을 바깥에서 검증합니다: 설정, 객체, 권한'
	@echo '  make status    실행 상태와 어긋난 것'
	@echo '  make down      데이터는 두고 서버만 멈춥니다. DATA=delete는 데이터와 그 비밀번호를 지웁니다'
	@echo '  make purge     이 클론이 머신에 만든 모든 것을 데이터까지 지웁니다'
	@echo '                 둘 다 지우기 전에 묻습니다. CONFIRM=delete와 CONFIRM=purge로 미리 답할 수 있습니다'
	@echo '  make test      정적 검사 후 테스트. REQUIRE_ALL=1은 건너뛰기를 금지, PYTEST="-k roles"는 일부만'
	@echo '  make faults    `up`을 리소스마다 강제로 종료해 봅니다. make test는 몇 곳에서만 합니다'
	@echo '  make bench     머신의 한계와 비교해 측정합니다'
	@echo '  make lint      ruff, mypy, import 규칙, shellcheck'
	@echo '  make fmt       코드를 정리합니다'
	@echo
	@echo '  STACK=$(or $(STACK),local)   스택: local(기본값), dev, prod, 또는 다른 이름'
	@echo
	@echo '  tools/environment.sh circlepay VERB: up, down, monitor, status, logs, restart, psql, redis-cli,'
	@echo '                 summary, findings, preview, verify, adopt, purge. --help가 각각을 설명합니다'
	@echo
	@echo 'make 없이: eval "$$(tools/environment.sh --export)", 그다음 `pulumi up`과 `circlepay --help`.'
else
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
endif

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
