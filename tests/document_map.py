"""Where each setting, object, query and command of the document is proved.

RULES take whole kinds of items to the test case of the very same item, so a column that the document gains asks for a test
case of that column. PROOFS names the rest one by one. `tests/unit/test_document_map.py` fails on an item that is in
neither, on an entry for something the document no longer says, and on a test that does not exist.

A command that installs or starts something on another system is proved by what this package does instead: its programs
come with it, and `up` starts them.
"""

from __future__ import annotations

SCHEMA = "infra/verification/checks/test_schema.py"
DATABASE = "infra/verification/checks/test_database.py"
PRIVILEGES = "infra/verification/checks/test_privileges.py"
REDIS = "infra/verification/checks/test_redis.py"
ENV_FILE = "infra/verification/checks/test_env_file.py"
SETTINGS = "tests/unit/settings/test_model.py"
MAPPED = "tests/unit/test_document_map.py"
MONITOR = "tests/unit/operations/test_monitor.py"
STATUS = "tests/unit/operations/test_status.py"
RESTART = "tests/unit/operations/test_restart.py"
CLIENTS = "tests/unit/operations/test_clients.py"
LOGS = "tests/unit/targets/processes/test_logs.py"
PROCESSES = "tests/unit/targets/processes/test_machine.py"
PROMISES = "tests/machines/test_promises.py"
CONTAINERS = "infra/targets/docker/checks/test_containers.py"
CONTRACT = "tests/contract/test_contract.py"
ON_DOCKER = "tests/contract/test_docker.py"
PROGRAMS = "tests/unit/targets/processes/test_programs.py"

RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"table (\w+)", (rf"{SCHEMA}::test_table[\1]", rf"{PRIVILEGES}::test_may_read[\1]")),
    (r"column (\w+\.\w+)", (rf"{SCHEMA}::test_column[\1]",)),
    (r"constraint (\w+\.\w+)", (rf"{SCHEMA}::test_constraint[\1]",)),
    (r"index (\w+)", (rf"{SCHEMA}::test_index[\1]",)),
    (r"sequence (\w+)", (rf"{SCHEMA}::test_sequence[\1]",)),
    (
        r"trigger ((\w+)\.\w+)",
        (rf"{SCHEMA}::test_trigger[\1]", r"infra/verification/checks/test_behaviour.py::test_updated_at[\2]"),
    ),
    (
        r"redis (timeout|tcp-keepalive|maxmemory|maxmemory-policy|save|loglevel) .+",
        (rf"{REDIS}::test_documented[\1]", f"{MAPPED}::test_redis_defaults_are_the_documents"),
    ),
    (r"env .+: ([A-Z_]+)=.*", (rf"{ENV_FILE}::test_key[\1]",)),
)
"""Pattern of an item -> the test cases of the same item."""

INSTALLED = (
    f"{PROGRAMS}::test_an_ordinary_user_runs_the_wheel_in_place",
    f"{PROGRAMS}::test_as_root_the_servers_user_gets_programs_it_can_run_and_not_change",
)
STARTED = (
    f"{PROMISES}::test_a_restart_starts_what_does_not_run[processes]",
    f"{PROMISES}::test_a_killed_server_comes_back[processes]",
)
RUNS_ON = (f"{PROCESSES}::test_a_server_outlives_the_process_that_started_it_and_holds_none_of_its_output", *STARTED)
REDIS_STATUS = (
    f"{STATUS}::test_running_server_is_described[redis]",
    f"{STATUS}::test_server_that_is_down_is_told[redis]",
)
POSTGRES_STATUS = (
    f"{STATUS}::test_running_server_is_described[postgres]",
    f"{STATUS}::test_server_that_is_down_is_told[postgres]",
)
FUTURE = (f"{PRIVILEGES}::test_future_tables",)

PROOFS: dict[str, tuple[str, ...]] = {
    # the database
    "database circlepay_db": (
        f"{DATABASE}::test_accepts_connections",
        f"{MAPPED}::test_database_defaults_are_the_documents",
    ),
    "database option OWNER = postgres": (
        f"{DATABASE}::test_owner",
        f"{MAPPED}::test_database_defaults_are_the_documents",
    ),
    "database option ENCODING = 'UTF8'": (
        f"{DATABASE}::test_encoding",
        f"{MAPPED}::test_database_defaults_are_the_documents",
    ),
    "database option LC_COLLATE = 'en_US.UTF-8'": (
        f"{DATABASE}::test_locale",
        f"{MAPPED}::test_database_defaults_are_the_documents",
    ),
    "database option LC_CTYPE = 'en_US.UTF-8'": (
        f"{DATABASE}::test_locale",
        f"{MAPPED}::test_database_defaults_are_the_documents",
    ),
    "database option TABLESPACE = pg_default": (
        f"{DATABASE}::test_tablespace",
        f"{MAPPED}::test_database_defaults_are_the_documents",
    ),
    "database option CONNECTION LIMIT = -1": (
        f"{DATABASE}::test_connection_limit",
        f"{MAPPED}::test_database_defaults_are_the_documents",
    ),
    r"command \c circlepay_db": ("tests/unit/test_cli.py::test_psql_runs_with_the_stacks_credentials",),
    "function update_updated_at_column": (f"{SCHEMA}::test_function",),
    # the role and its privileges
    "role circlepay_user": (
        "infra/verification/checks/test_authentication.py::test_postgres_authenticates_by_scram[application]",
        f"{PRIVILEGES}::test_owns_nothing",
    ),
    "grant CONNECT ON DATABASE circlepay_db TO circlepay_user": (f"{PRIVILEGES}::test_may_connect_and_use_the_schema",),
    "grant USAGE ON SCHEMA public TO circlepay_user": (f"{PRIVILEGES}::test_may_connect_and_use_the_schema",),
    "grant ALL PRIVILEGES ON ALL TABLES IN SCHEMA public TO circlepay_user": (
        f"{PRIVILEGES}::test_table_privilege",
        f"{PRIVILEGES}::test_may_write",
    ),
    "grant ALL PRIVILEGES ON ALL SEQUENCES IN SCHEMA public TO circlepay_user": (
        f"{PRIVILEGES}::test_sequence_privilege",
    ),
    "default privileges IN SCHEMA public GRANT ALL ON TABLES TO circlepay_user": FUTURE,
    "default privileges IN SCHEMA public GRANT ALL ON SEQUENCES TO circlepay_user": FUTURE,
    # installing and starting Redis
    "command sudo apt update": INSTALLED,
    "command sudo apt install redis-server": INSTALLED,
    "command brew install redis": INSTALLED,
    "command sudo systemctl start redis-server": STARTED,
    "command brew services start redis": STARTED,
    "command sudo systemctl enable redis-server": RUNS_ON,
    "command sudo systemctl status redis-server": REDIS_STATUS,
    "command brew services list | grep redis": REDIS_STATUS,
    "command docker ps | grep redis": (
        *REDIS_STATUS,
        f"{CONTAINERS}::test_health",
        f"{ON_DOCKER}::test_a_server_that_crashes_comes_back_by_itself[docker-17-7]",
    ),
    "command docker run -d --name redis-circlepay -p 6379:6379 -v redis_data:/data redis:7-alpine": (
        f"{MAPPED}::test_docker_defaults_are_the_documents",
        f"{CONTAINERS}::test_published_only_as_declared",
        f"{CONTAINERS}::test_kept_on_a_volume[data]",
        f"{CONTAINERS}::test_image_is_pinned",
        f"{CONTRACT}::test_up_ends_with_the_promised_outputs[docker-17-7]",
        f"{CONTRACT}::test_down_and_up_again_keep_data_ports_and_passwords[docker-17-7]",
        f"{ON_DOCKER}::test_down_keeps_data_and_env_file_and_nothing_else[docker-17-7]",
    ),
    # redis.conf: where it listens and logs, and who gets in
    "redis port 6379": (f"{REDIS}::test_port", f"{MAPPED}::test_redis_defaults_are_the_documents"),
    "redis bind 127.0.0.1": (f"{REDIS}::test_bind", f"{MAPPED}::test_redis_defaults_are_the_documents"),
    "redis logfile /var/log/redis/redis-server.log": (
        f"{REDIS}::test_log_file",
        "tests/unit/cache/test_parameters.py::test_declared_follows_the_settings",
    ),
    "redis requirepass your_redis_password_here": (
        f"{REDIS}::test_password_required",
        "infra/verification/checks/test_authentication.py::test_redis_refuses_without_a_password",
        "infra/verification/checks/test_authentication.py::test_redis_refuses_a_wrong_password",
    ),
    # asking Redis
    "command redis-cli ping": (
        f"{CLIENTS}::test_redis_answers_as_redis_cli_writes_them[ping]",
        "tests/unit/test_cli.py::test_redis_cli_runs_one_command_or_a_line_each",
    ),
    "command redis-cli info server": (f"{CLIENTS}::test_redis_info_stays_readable[server]",),
    "command redis-cli info memory": (
        f"{CLIENTS}::test_redis_info_stays_readable[memory]",
        f"{MONITOR}::test_redis_keys_hits_and_clients_are_counted",
    ),
    "command redis-cli info clients": (f"{CLIENTS}::test_redis_info_stays_readable[clients]",),
    "command redis-cli info stats": (
        f"{CLIENTS}::test_redis_info_stays_readable[stats]",
        f"{MONITOR}::test_redis_keys_hits_and_clients_are_counted",
    ),
    "command redis-cli dbsize": (
        f"{CLIENTS}::test_redis_answers_as_redis_cli_writes_them[dbsize]",
        f"{MONITOR}::test_redis_keys_hits_and_clients_are_counted",
    ),
    "command redis-cli client list": (
        f"{CLIENTS}::test_redis_client_list_is_one_line_a_client",
        f"{MONITOR}::test_redis_keys_hits_and_clients_are_counted",
    ),
    # asking PostgreSQL
    "query SELECT count(*) FROM pg_stat_activity WHERE state = 'active'": (
        f"{MONITOR}::test_active_connections_count_running_statements",
        f"{MONITOR}::test_psql_runs_the_file[active_connections]",
    ),
    "query SELECT schemaname, tablename, pg_size_pretty(pg_total_relation_size(schemaname||'.'||tablename)) as size "
    "FROM pg_tables WHERE schemaname = 'public' "
    "ORDER BY pg_total_relation_size(schemaname||'.'||tablename) DESC": (
        f"{MONITOR}::test_table_sizes_work_on_names_in_mixed_case",
        f"{MONITOR}::test_psql_runs_the_file[table_sizes]",
    ),
    "query SELECT schemaname, tablename, indexname, idx_scan, idx_tup_read, idx_tup_fetch FROM pg_stat_user_indexes "
    "ORDER BY idx_scan DESC": (
        f"{MONITOR}::test_index_usage_counts_scans",
        f"{MONITOR}::test_psql_runs_the_file[index_usage]",
    ),
    # when something is wrong
    "command sudo systemctl status postgresql": POSTGRES_STATUS,
    "command sudo tail -f /var/log/postgresql/postgresql-*.log": (
        f"{LOGS}::test_following_goes_on_in_the_next_file",
        f"{RESTART}::test_log_of_a_placed_server_is_found[postgres]",
    ),
    "command sudo systemctl restart postgresql": (f"{RESTART}::test_restart_keeps_data_and_password[postgres]",),
    "command sudo tail -f /var/log/redis/redis-server.log": (
        f"{LOGS}::test_following_shows_whole_lines_only",
        f"{RESTART}::test_log_of_a_placed_server_is_found[redis]",
    ),
    "command sudo systemctl restart redis-server": (f"{RESTART}::test_restart_keeps_data_and_password[redis]",),
}
"""Item -> the tests that prove it."""

VALUES: dict[str, tuple[str, ...]] = {
    "DATABASE_URL": (
        f"{ENV_FILE}::test_database_url_connects",
        "tests/unit/env_file/test_encoding.py::test_urls_as_clients_read_them",
    ),
    "REDIS_URL": (
        f"{ENV_FILE}::test_redis_url_connects",
        "tests/unit/env_file/test_encoding.py::test_urls_as_clients_read_them",
    ),
    "SECRET_KEY": ("tests/unit/env_file/test_encoding.py::test_documented_keys_in_documented_order_below_our_header",),
    "JWT_SECRET_KEY": (
        "tests/unit/env_file/test_encoding.py::test_documented_keys_in_documented_order_below_our_header",
    ),
    "CIRCLE_SANDBOX_API_KEY": ("tests/unit/app_stub/test_environment.py::test_wrong_value_is_told",),
    "CIRCLE_ENTITY_SECRET": ("tests/unit/app_stub/test_environment.py::test_wrong_value_is_told",),
    "ENVIRONMENT=development": (f"{SETTINGS}::test_nothing_set_is_the_documents_setup",),
    "DEBUG=true": (f"{SETTINGS}::test_nothing_set_is_the_documents_setup",),
    "LOG_LEVEL=DEBUG": (f"{SETTINGS}::test_nothing_set_is_the_documents_setup",),
    "ENVIRONMENT=production": (f"{SETTINGS}::test_production_defaults",),
    "DEBUG=false": (f"{SETTINGS}::test_production_defaults",),
    "LOG_LEVEL=INFO": (f"{SETTINGS}::test_production_defaults",),
}
"""Key, or key and value where the document names one, -> the tests of what stands behind it in the env file."""
