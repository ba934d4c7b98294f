"""The expected state of a CirclePay stack, written by hand from the document that specifies it.

Nothing here is computed from the package's own catalog, migrations or settings code, so that a mistake there shows up as
a difference. Types are spelled as by `format_type`, definitions as by `pg_get_*def`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

NOW = "CURRENT_TIMESTAMP"
TIMESTAMP = "timestamp with time zone"
MONEY = "numeric(18,6)"


class Column(NamedTuple):
    """A column: `default` is the expression as `pg_get_expr` prints it, empty where there is none."""

    name: str
    type: str
    nullable: bool = True
    default: str = ""


def text(length: int) -> str:
    """The type of a VARCHAR of `length` characters."""
    return f"character varying({length})"


def text_default(value: str) -> str:
    """The default of a VARCHAR column, as `pg_get_expr` prints it."""
    return f"'{value}'::character varying"


def serial(table: str) -> Column:
    """The `id SERIAL PRIMARY KEY` that every table starts with."""
    return Column("id", "integer", False, f"nextval('{table}_id_seq'::regclass)")


OWNER_COLUMN = Column("user_id", "integer", False)
CREATED = Column("created_at", TIMESTAMP, default=NOW)
UPDATED = Column("updated_at", TIMESTAMP, default=NOW)

TABLES: dict[str, tuple[Column, ...]] = {
    "users": (
        serial("users"),
        Column("email", text(255), False),
        Column("phone", text(20)),
        Column("first_name", text(100), False),
        Column("last_name", text(100), False),
        Column("country_code", text(2), False),
        Column("preferred_currency", text(10), default=text_default("USDC")),
        Column("circle_wallet_id", text(255)),
        Column("circle_entity_id", text(255)),
        Column("circle_wallet_set_id", text(255)),
        Column("primary_wallet_id", text(255)),
        Column("is_verified", "boolean", default="false"),
        Column("is_active", "boolean", default="true"),
        Column("pin_hash", text(255)),
        Column("kyc_status", text(20), default=text_default("pending")),
        Column("kyc_level", "integer", default="1"),
        CREATED,
        UPDATED,
        Column("last_login_at", TIMESTAMP),
    ),
    "wallets": (
        serial("wallets"),
        OWNER_COLUMN,
        Column("circle_wallet_id", text(255), False),
        Column("wallet_address", text(42)),
        Column("chain_id", "integer", False),
        Column("chain_name", text(50), False),
        Column("usdc_balance", MONEY, default="0"),
        Column("last_balance_update", TIMESTAMP),
        Column("is_active", "boolean", default="true"),
        CREATED,
        UPDATED,
    ),
    "transactions": (
        serial("transactions"),
        OWNER_COLUMN,
        Column("transaction_id", text(255), False),
        Column("transaction_hash", text(66)),
        Column("transaction_type", text(20), False),
        Column("status", text(20), default=text_default("pending")),
        Column("amount", MONEY, False),
        # The document says VARCHAR(3), which cannot hold its own default; the width is users.preferred_currency's.
        Column("currency", text(10), default=text_default("USDC")),
        Column("usd_amount", MONEY),
        Column("local_amount", MONEY),
        Column("local_currency", text(3)),
        Column("source_chain", text(50)),
        Column("target_chain", text(50)),
        Column("source_address", text(42)),
        Column("target_address", text(42)),
        Column("gas_fee", MONEY),
        Column("service_fee", MONEY),
        Column("total_fee", MONEY),
        Column("merchant_id", text(255)),
        Column("merchant_name", text(255)),
        Column("qr_code_id", text(255)),
        Column("extra_metadata", "text"),
        Column("notes", "text"),
        CREATED,
        Column("completed_at", TIMESTAMP),
    ),
    "kyc_documents": (
        serial("kyc_documents"),
        OWNER_COLUMN,
        Column("document_type", text(50), False),
        Column("document_number", text(100)),
        Column("full_name", text(200)),
        Column("date_of_birth", text(10)),
        Column("nationality", text(2)),
        Column("gender", text(10)),
        Column("address_line1", text(255)),
        Column("address_line2", text(255)),
        Column("city", text(100)),
        Column("state_province", text(100)),
        Column("postal_code", text(20)),
        Column("country", text(2)),
        Column("occupation", text(100)),
        Column("employer", text(200)),
        Column("income_range", text(50)),
        Column("source_of_funds", text(100)),
        Column("file_url", text(500)),
        Column("file_type", text(20)),
        Column("file_size", "integer"),
        Column("verification_status", text(20), default=text_default("pending")),
        Column("verification_method", text(50)),
        Column("verification_notes", "text"),
        Column("verified_by", text(100)),
        Column("verified_at", TIMESTAMP),
        Column("compliance_check_id", text(255)),
        Column("risk_score", "numeric(3,2)"),
        Column("risk_factors", "text"),
        CREATED,
        UPDATED,
        Column("expires_at", TIMESTAMP),
    ),
}

CASCADE = "FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE"

CONSTRAINTS: dict[str, dict[str, str]] = {
    "users": {
        "users_pkey": "PRIMARY KEY (id)",
        "users_email_key": "UNIQUE (email)",
        "users_phone_key": "UNIQUE (phone)",
        "users_circle_wallet_id_key": "UNIQUE (circle_wallet_id)",
        "users_circle_entity_id_key": "UNIQUE (circle_entity_id)",
        "users_circle_wallet_set_id_key": "UNIQUE (circle_wallet_set_id)",
    },
    "wallets": {
        "wallets_pkey": "PRIMARY KEY (id)",
        "wallets_circle_wallet_id_key": "UNIQUE (circle_wallet_id)",
        "uq_user_chain": "UNIQUE (user_id, chain_id)",
        "wallets_user_id_fkey": CASCADE,
    },
    "transactions": {
        "transactions_pkey": "PRIMARY KEY (id)",
        "transactions_transaction_id_key": "UNIQUE (transaction_id)",
        "transactions_transaction_hash_key": "UNIQUE (transaction_hash)",
        "transactions_user_id_fkey": CASCADE,
    },
    "kyc_documents": {
        "kyc_documents_pkey": "PRIMARY KEY (id)",
        "kyc_documents_user_id_fkey": CASCADE,
    },
}


@dataclass(frozen=True)
class Index:
    """An index. redundant: another index can answer every query that this one can."""

    table: str
    columns: str
    unique: bool = False
    redundant: bool = False

    def definition(self, name: str) -> str:
        """The index as `pg_get_indexdef` prints it."""
        unique = "UNIQUE " if self.unique else ""
        return f"CREATE {unique}INDEX {name} ON public.{self.table} USING btree ({self.columns})"


DOCUMENTED_INDEXES: dict[str, Index] = {
    "idx_users_email": Index("users", "email", redundant=True),
    "idx_users_phone": Index("users", "phone", redundant=True),
    "idx_users_circle_wallet_id": Index("users", "circle_wallet_id", redundant=True),
    "idx_users_circle_entity_id": Index("users", "circle_entity_id", redundant=True),
    "idx_users_circle_wallet_set_id": Index("users", "circle_wallet_set_id", redundant=True),
    "idx_users_primary_wallet_id": Index("users", "primary_wallet_id"),
    "idx_users_kyc_status": Index("users", "kyc_status"),
    "idx_wallets_user_id": Index("wallets", "user_id", redundant=True),
    "idx_wallets_circle_wallet_id": Index("wallets", "circle_wallet_id", redundant=True),
    "idx_wallets_wallet_address": Index("wallets", "wallet_address"),
    "idx_wallets_chain_id": Index("wallets", "chain_id"),
    "idx_wallets_chain_name": Index("wallets", "chain_name"),
    "idx_transactions_user_id": Index("transactions", "user_id"),
    "idx_transactions_transaction_id": Index("transactions", "transaction_id", redundant=True),
    "idx_transactions_transaction_hash": Index("transactions", "transaction_hash", redundant=True),
    "idx_transactions_status": Index("transactions", "status"),
    "idx_transactions_created_at": Index("transactions", "created_at"),
    "idx_transactions_transaction_type": Index("transactions", "transaction_type"),
    "idx_kyc_documents_user_id": Index("kyc_documents", "user_id"),
    "idx_kyc_documents_document_type": Index("kyc_documents", "document_type"),
    "idx_kyc_documents_verification_status": Index("kyc_documents", "verification_status"),
    "idx_kyc_documents_created_at": Index("kyc_documents", "created_at"),
}


def _constraint_indexes() -> dict[str, Index]:
    """The index that PostgreSQL creates for each PRIMARY KEY and UNIQUE constraint, named like the constraint."""
    return {
        name: Index(table, definition[definition.index("(") + 1 : -1], unique=True)
        for table, constraints in CONSTRAINTS.items()
        for name, definition in constraints.items()
        if not definition.startswith("FOREIGN KEY")
    }


INDEXES = {**DOCUMENTED_INDEXES, **_constraint_indexes()}
"""All 35 indexes: 22 documented ones, 13 of constraints; 26 without the redundant nine."""

SEQUENCES = {f"{table}_id_seq": f"public.{table}.id" for table in TABLES}
"""Sequence -> the column that owns it."""

FUNCTION = "update_updated_at_column"
FUNCTION_BODY = "BEGIN NEW.updated_at = CURRENT_TIMESTAMP; RETURN NEW; END;"
"""The body with its white space collapsed."""

TRIGGERS = {
    f"update_{table}_updated_at": (
        table,
        f"CREATE TRIGGER update_{table}_updated_at BEFORE UPDATE ON public.{table}"
        f" FOR EACH ROW EXECUTE FUNCTION {FUNCTION}()",
    )
    for table in ("users", "wallets", "kyc_documents")
}

TABLE_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
"""The privileges of GRANT ALL on a table in every supported version; from 17 on also MAINTAIN."""

SEQUENCE_PRIVILEGES = ("USAGE", "SELECT", "UPDATE")

DURABILITY = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "data_checksums": "on",
}
"""So that a committed payment survives a power failure, and a damaged page is detected."""

REDIS_DOCUMENTED = {
    "timeout": "0",
    "tcp-keepalive": "300",
    "maxmemory": "256mb",
    "maxmemory-policy": "allkeys-lru",
    "save": "900 1 300 10 60 10000",
    "loglevel": "notice",
}
"""redis.conf of the document; values that a stack declares differently replace these."""

REDIS_CLOSED = ("enable-debug-command", "enable-module-command", "enable-protected-configs")
"""Doors from Redis' login to its machine; they cannot be opened on a running server, and older servers have none of these."""

ENV_KEYS = (
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "JWT_SECRET_KEY",
    "CIRCLE_SANDBOX_API_KEY",
    "CIRCLE_ENTITY_SECRET",
    "ENVIRONMENT",
    "DEBUG",
    "LOG_LEVEL",
)
"""Every key of the document's env file."""

SUPPLIED_ENV_KEYS = ("CIRCLE_SANDBOX_API_KEY", "CIRCLE_ENTITY_SECRET")
"""Keys that a development stack may leave empty: only their owner can supply them."""
