"""Promises about the database's objects and privileges, broken by SQL: what breaks each, what puts it right, what fails."""

from __future__ import annotations

from functools import partial

from tests.support.verification_breakage import Breakage, by_sql

UPDATED_TABLES = ("users", "wallets", "kyc_documents")
FOREIGN_KEY_TABLES = ("wallets", "transactions", "kyc_documents")
ROLE, OWNER = "circlepay_user", "circlepay_owner"
FUNCTION = "CREATE OR REPLACE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS"
FOREIGN_KEY = "ALTER TABLE wallets ADD CONSTRAINT wallets_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id)"
DROP_FOREIGN_KEY = "ALTER TABLE wallets DROP CONSTRAINT wallets_user_id_fkey"
CHAIN_INDEX = "DROP INDEX idx_wallets_chain_id;;CREATE INDEX idx_wallets_chain_id ON wallets"
INVALID = "UPDATE pg_index SET indisvalid = {} WHERE indexrelid = 'idx_transactions_status'::regclass"


def altered(what: str, broken: str, right: str, *fails: str, structural: bool = False) -> Breakage:
    """ALTER this: broken, and right again."""
    return by_sql(f"{what} {broken}", f"ALTER {what} {broken}", f"ALTER {what} {right}", *fails, structural=structural)


def granted(what: str, *fails: str, to: str = ROLE) -> Breakage:
    """Somebody holds too much."""
    return by_sql(f"GRANT {what} TO {to}", f"GRANT {what} TO {to}", f"REVOKE {what} FROM {to}", *fails)


def revoked(what: str, *fails: str, of: str = ROLE) -> Breakage:
    """Somebody holds too little."""
    return by_sql(f"REVOKE {what} FROM {of}", f"REVOKE {what} FROM {of}", f"GRANT {what} TO {of}", *fails)


def future(what: str, granted_again: str) -> Breakage:
    """Privileges on what is made later are gone."""
    rule = f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public {{}} ON {what}"
    undo = rule.format(f"GRANT {granted_again}") + f" TO {ROLE}"
    do = rule.format(f"REVOKE {granted_again}") + f" FROM {ROLE}"
    return by_sql(f"no {granted_again} on future {what}", do, undo, "privileges: future tables")


users, wallets, transactions, documents = (
    partial(altered, f"TABLE {table}") for table in ("users", "wallets", "transactions", "kyc_documents")
)
role, owner = partial(altered, f"ROLE {ROLE}"), partial(altered, f"ROLE {OWNER}")
database = partial(altered, "DATABASE circlepay_db")

DROPPED_INDEX = by_sql(
    "an index is dropped",
    "DROP INDEX idx_users_kyc_status",
    "CREATE INDEX idx_users_kyc_status ON users(kyc_status)",
    "schema: index idx_users_kyc_status",
)
OBJECTS = [
    DROPPED_INDEX,
    by_sql(
        "an index has other columns",
        f"{CHAIN_INDEX}(chain_name)",
        f"{CHAIN_INDEX}(chain_id)",
        "schema: index idx_wallets_chain_id",
    ),
    by_sql("an index is invalid", INVALID.format(False), INVALID.format(True), "schema: index idx_transactions_status"),
    users(
        "DISABLE TRIGGER update_users_updated_at",
        "ENABLE TRIGGER update_users_updated_at",
        "schema: trigger users.update_users_updated_at",
        "behaviour: updated at users",
    ),
    by_sql(
        "a trigger is dropped",
        "DROP TRIGGER update_wallets_updated_at ON wallets",
        "CREATE TRIGGER update_wallets_updated_at BEFORE UPDATE ON wallets"
        " FOR EACH ROW EXECUTE FUNCTION update_updated_at_column()",
        "schema: trigger wallets.update_wallets_updated_at",
        "behaviour: updated at wallets",
    ),
    by_sql(
        "the function does nothing",
        f"{FUNCTION} 'BEGIN RETURN NEW; END;'",
        f"{FUNCTION} 'BEGIN NEW.updated_at = CURRENT_TIMESTAMP; RETURN NEW; END;'",
        "schema: function",
        *(f"behaviour: updated at {table}" for table in UPDATED_TABLES),
    ),
    altered("FUNCTION update_updated_at_column()", "SECURITY DEFINER", "SECURITY INVOKER", "schema: function"),
    wallets(
        "DROP CONSTRAINT uq_user_chain",
        "ADD CONSTRAINT uq_user_chain UNIQUE (user_id, chain_id)",
        "schema: constraint wallets.uq_user_chain",
        "schema: index uq_user_chain",
        "behaviour: unique wallets.user_id and chain_id",
    ),
    by_sql(
        "a foreign key does not cascade",
        f"{DROP_FOREIGN_KEY};;{FOREIGN_KEY}",
        f"{DROP_FOREIGN_KEY};;{FOREIGN_KEY} ON DELETE CASCADE",
        "schema: constraint wallets.wallets_user_id_fkey",
        "behaviour: goes with its user wallets",
    ),
    by_sql(
        "a foreign key was never validated",
        f"{DROP_FOREIGN_KEY};;{FOREIGN_KEY} ON DELETE CASCADE NOT VALID",
        "ALTER TABLE wallets VALIDATE CONSTRAINT wallets_user_id_fkey",
        "schema: constraint wallets.wallets_user_id_fkey",
    ),
    wallets(
        "DISABLE TRIGGER ALL",
        "ENABLE TRIGGER ALL",
        "schema: foreign keys enforced",
        "schema: trigger wallets.update_wallets_updated_at",
        "behaviour: updated at wallets",
        "behaviour: needs its user wallets",
    ),
    transactions(
        "ALTER COLUMN currency DROP DEFAULT",
        "ALTER COLUMN currency SET DEFAULT 'USDC'",
        "schema: column transactions.currency",
        "behaviour: defaults transactions",
        "behaviour: currency of a transaction",
    ),
    users("ALTER COLUMN email DROP NOT NULL", "ALTER COLUMN email SET NOT NULL", "schema: column users.email"),
    by_sql(
        "the currency has its documented width",
        "ALTER TABLE transactions ALTER COLUMN currency TYPE varchar(3)",
        "ALTER TABLE transactions ALTER COLUMN currency TYPE varchar(10)",
        "schema: column transactions.currency",
        *(f"behaviour: {name}" for name in ("defaults transactions", "currency of a transaction")),
        *(f"behaviour: {name} transactions" for name in ("goes with its user", "needs its user")),
        "behaviour: unique transactions.transaction_hash",
        "behaviour: amounts keep six decimals",
    ),
    documents(
        "DROP COLUMN risk_factors",
        "ADD COLUMN risk_factors text",
        "schema: column kyc_documents.risk_factors",
        structural=True,
    ),
    users("ADD COLUMN nickname text", "DROP COLUMN nickname", "schema: nothing added to columns", structural=True),
    by_sql(
        "an index was added",
        "CREATE INDEX by_hand ON users(last_name)",
        "DROP INDEX by_hand",
        "schema: nothing added to indexes",
        structural=True,
    ),
    users(
        "ADD CONSTRAINT by_hand CHECK (kyc_level < 9)",
        "DROP CONSTRAINT by_hand",
        "schema: nothing added to constraints",
        structural=True,
    ),
    documents("SET UNLOGGED", "SET LOGGED", "schema: table kyc_documents", structural=True),
    altered("SEQUENCE users_id_seq", "OWNED BY NONE", "OWNED BY users.id", "schema: sequence users_id_seq"),
    by_sql(
        "an applied migration was edited",
        "UPDATE circlepay.migrations SET sha256 = reverse(sha256) WHERE version = 1",
        "UPDATE circlepay.migrations SET sha256 = reverse(sha256) WHERE version = 1",
        "schema: migrations recorded",
    ),
    by_sql(
        "the database belongs to another role",
        "ALTER DATABASE circlepay_db OWNER TO pg_monitor",
        "ALTER DATABASE circlepay_db OWNER TO postgres",
        "database: owner",
    ),
    database("CONNECTION LIMIT 20", "CONNECTION LIMIT -1", "database: connection limit"),
]

PRIVILEGES = [
    revoked("DELETE ON wallets", "privileges: table privilege wallets-DELETE", "privileges: may write wallets"),
    revoked("USAGE ON SEQUENCE users_id_seq", "privileges: sequence privilege users_id_seq-USAGE"),
    future("TABLES", "INSERT"),
    future("SEQUENCES", "ALL"),
    by_sql(
        "the record of migrations is readable",
        f"GRANT USAGE ON SCHEMA circlepay TO {ROLE};;GRANT SELECT ON circlepay.migrations TO {ROLE}",
        f"REVOKE ALL ON circlepay.migrations FROM {ROLE};;REVOKE ALL ON SCHEMA circlepay FROM {ROLE}",
        "privileges: cannot read the migrations' record",
    ),
    granted(
        "CREATE ON SCHEMA public",
        "privileges: cannot create a table in public",
        "privileges: cannot create a function in public",
    ),
    granted("CREATE ON DATABASE circlepay_db", "privileges: cannot create a schema"),
    role("CREATEDB", "NOCREATEDB", "privileges: role attribute rolcreatedb"),
    role(
        "CREATEROLE",
        "NOCREATEROLE",
        "privileges: role attribute rolcreaterole",
        "privileges: cannot create a role",
    ),
    role("CONNECTION LIMIT 9", "CONNECTION LIMIT -1", "privileges: role attribute rolconnlimit"),
    by_sql(
        "the role expires",
        f"ALTER ROLE {ROLE} VALID UNTIL '2999-01-01'",
        "UPDATE pg_authid SET rolvaliduntil = NULL WHERE rolname = 'circlepay_user'",
        "privileges: role attribute rolvaliduntil",
    ),
    granted("pg_monitor", "privileges: role is member of nothing"),
    by_sql(
        "the role may become the owner",
        f"GRANT {OWNER} TO {ROLE} WITH INHERIT FALSE",
        f"REVOKE {OWNER} FROM {ROLE}",
        "privileges: role is member of nothing",
        "privileges: cannot become the owner",
    ),
    granted("SELECT ON pg_authid", "privileges: cannot read password verifiers"),
    granted(
        "SET ON PARAMETER session_replication_role",
        "privileges: cannot switch triggers off",
        "privileges: holds no privileges on parameters",
    ),
    granted(
        "ALTER SYSTEM ON PARAMETER work_mem",
        "privileges: holds no privileges on parameters",
        "privileges: cannot change the servers configuration",
    ),
    granted(
        "SET ON PARAMETER circlepay.hand_made, log_statement",
        "privileges: holds no privileges on parameters",
        to="PUBLIC",
    ),
    by_sql(
        "the role passes privileges on",
        "GRANT SELECT ON users TO circlepay_user WITH GRANT OPTION",
        "REVOKE GRANT OPTION FOR SELECT ON users FROM circlepay_user",
        "privileges: cannot pass on its privileges users",
    ),
    by_sql(
        "the role owns a table",
        f"ALTER TABLE users OWNER TO {ROLE}",
        f"ALTER TABLE users OWNER TO {OWNER};;GRANT ALL ON users, users_id_seq TO {ROLE}",
        "schema: table users",
        "privileges: owns nothing",
        "privileges: cannot pass on its privileges users",
        *(f"privileges: cannot {what}" for what in ("alter a table", "disable a trigger", "drop an index")),
    ),
    users("OWNER TO postgres", f"OWNER TO {OWNER}", "schema: table users", "privileges: superusers own nothing here"),
    altered(
        "FUNCTION update_updated_at_column()",
        "OWNER TO postgres",
        f"OWNER TO {OWNER}",
        "schema: function",
    ),
    owner("LOGIN", "NOLOGIN", "privileges: owner attribute rolcanlogin"),
    owner(
        "SUPERUSER",
        "NOSUPERUSER",
        "privileges: owner attribute rolsuper",
        "privileges: superusers own nothing here",
    ),
    granted("pg_read_server_files", "privileges: owner is member of nothing", to=OWNER),
    granted("SELECT ON users", "privileges: public holds nothing on tables", to="PUBLIC"),
    revoked("TEMPORARY ON DATABASE circlepay_db", "privileges: public on the database", of="PUBLIC"),
    role(
        "SET synchronous_commit = off",
        "RESET synchronous_commit",
        "server settings: durability for the application synchronous_commit",
        "server settings: nothing overridden",
    ),
    by_sql(
        "triggers and foreign keys are off for the role",
        "ALTER ROLE circlepay_user SET session_replication_role = replica",
        "ALTER ROLE circlepay_user RESET session_replication_role",
        "server settings: nothing overridden",
        *(f"behaviour: updated at {table}" for table in UPDATED_TABLES),
        *(
            f"behaviour: {what} {table}"
            for what in ("needs its user", "goes with its user")
            for table in FOREIGN_KEY_TABLES
        ),
    ),
    by_sql(
        "every session sees another schema",
        "ALTER DATABASE circlepay_db SET search_path = elsewhere",
        "ALTER DATABASE circlepay_db RESET search_path",
        "server settings: nothing overridden",
    ),
]
