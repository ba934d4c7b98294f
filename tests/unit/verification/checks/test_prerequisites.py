"""The tables and columns that a check needs, and which of them are missing."""

from __future__ import annotations

import pytest

from infra.verification.checks.prerequisites import missing, prerequisites


@pytest.mark.parametrize(
    ("group", "function", "parameters", "expected"),
    [
        ("schema", "test_table", ["users"], set()),
        ("schema", "test_column", ["users.email"], {"users"}),
        ("schema", "test_constraint", ["wallets.uq_user_chain"], {"wallets", "wallets.user_id", "wallets.chain_id"}),
        (
            "schema",
            "test_constraint",
            ["wallets.wallets_user_id_fkey"],
            {"wallets", "wallets.user_id", "users", "users.id"},
        ),
        ("schema", "test_index", ["idx_users_email"], {"users", "users.email"}),
        ("schema", "test_sequence", ["users_id_seq"], {"users", "users.id"}),
        ("schema", "test_trigger", ["users.update_users_updated_at"], {"users"}),
        ("schema", "test_nothing_added_to", ["columns"], set()),
        ("schema", "test_function", [], set()),
        ("privileges", "test_table_privilege", ["wallets", "SELECT"], {"wallets"}),
        ("privileges", "test_sequence_privilege", ["users_id_seq", "USAGE"], {"users", "users.id"}),
        ("behaviour", "test_unique", ["wallets.user_id and chain_id"], {"users", "wallets"}),
        ("behaviour", "test_amounts_keep_six_decimals", [], {"users", "transactions"}),
        ("server settings", "test_declared", ["shared_buffers"], set()),
        ("processes", "test_port", [5432], set()),
    ],
)
def test_prerequisites_of_a_check(group: str, function: str, parameters: list[object], expected: set[str]) -> None:
    assert prerequisites(group, function, parameters) == expected


def test_missing_prerequisites() -> None:
    names = {"users", "users.id", "wallets", "wallets.id"}
    assert missing(names, ["users"], ["users.id"]) == ["wallets", "wallets.id"]
    assert missing(names, {"users", "wallets"}, {"users.id", "wallets.id"}) == []
    assert missing(names, (), ()) == sorted(names)
