"""Promises about the database's objects and privileges, broken by SQL."""

from __future__ import annotations

from tests.support.verification_breakage import by_sql

UPDATED_TABLES = ("users", "wallets", "kyc_documents")
CHILDREN = ("wallets", "transactions", "kyc_documents")
EMPTY_FUNCTION = (
    "CREATE OR REPLACE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END;'"
)
DOCUMENTED_FUNCTION = (
    "CREATE OR REPLACE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN NEW.updated_at = CURRENT_TIMESTAMP; RETURN NEW; END;'"
)
FOREIGN_KEY = "ALTER TABLE wallets ADD CONSTRAINT wallets_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id)"
DROP_FOREIGN_KEY = "ALTER TABLE wallets DROP CONSTRAINT wallets_user_id_fkey"
GRANT_USERS = "GRANT ALL ON users, users_id_seq TO circlepay_user"

OBJECTS = [
    by_sql(
        "an index is dropped",
        "DROP INDEX idx_users_kyc_status",
        "CREATE INDEX idx_users_kyc_status ON users(kyc_status)",
        "schema: index idx_users_kyc_status",
    ),
    by_sql(
        "an index has other columns",
        "DROP INDEX idx_wallets_chain_id;;CREATE INDEX idx_wallets_chain_id ON wallets(chain_name)",
        "DROP INDEX idx_wallets_chain_id;;CREATE INDEX idx_wallets_chain_id ON wallets(chain_id)",
        "schema: index idx_wallets_chain_id",
    ),
    by_sql(
        "an index is invalid",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_transactions_status'::regclass",
        "UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'idx_transactions_status'::regclass",
        "schema: index idx_transactions_status",
    ),
    by_sql(
        "a trigger is disabled",
        "ALTER TABLE users DISABLE TRIGGER update_users_updated_at",
        "ALTER TABLE users ENABLE TRIGGER update_users_updated_at",
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
        EMPTY_FUNCTION,
        DOCUMENTED_FUNCTION,
        "schema: function",
        *(f"behaviour: updated at {table}" for table in UPDATED_TABLES),
    ),
    by_sql(
        "the function runs as its owner",
        "ALTER FUNCTION update_updated_at_column() SECURITY DEFINER",
        "ALTER FUNCTION update_updated_at_column() SECURITY INVOKER",
        "schema: function",
    ),
    by_sql(
        "a unique constraint is dropped",
        "ALTER TABLE wallets DROP CONSTRAINT uq_user_chain",
        "ALTER TABLE wallets ADD CONSTRAINT uq_user_chain UNIQUE (user_id, chain_id)",
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
    by_sql(
        "all triggers of a table are disabled",
        "ALTER TABLE wallets DISABLE TRIGGER ALL",
        "ALTER TABLE wallets ENABLE TRIGGER ALL",
        "schema: foreign keys enforced",
        "schema: trigger wallets.update_wallets_updated_at",
        "behaviour: updated at wallets",
        "behaviour: needs its user wallets",
    ),
    by_sql(
        "a default is dropped",
        "ALTER TABLE transactions ALTER COLUMN currency DROP DEFAULT",
        "ALTER TABLE transactions ALTER COLUMN currency SET DEFAULT 'USDC'",
        "schema: column transactions.currency",
        "behaviour: defaults transactions",
        "behaviour: currency of a transaction",
    ),
    by_sql(
        "a column may be null",
        "ALTER TABLE users ALTER COLUMN email DROP NOT NULL",
        "ALTER TABLE users ALTER COLUMN email SET NOT NULL",
        "schema: column users.email",
    ),
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
    by_sql(
        "a column is missing",
        "ALTER TABLE kyc_documents DROP COLUMN risk_factors",
        "ALTER TABLE kyc_documents ADD COLUMN risk_factors text",
        "schema: column kyc_documents.risk_factors",
        structural=True,
    ),
    by_sql(
        "a column was added",
        "ALTER TABLE users ADD COLUMN nickname text",
        "ALTER TABLE users DROP COLUMN nickname",
        "schema: nothing added to columns",
        structural=True,
    ),
    by_sql(
        "an index was added",
        "CREATE INDEX by_hand ON users(last_name)",
        "DROP INDEX by_hand",
        "schema: nothing added to indexes",
        structural=True,
    ),
    by_sql(
        "a constraint was added",
        "ALTER TABLE users ADD CONSTRAINT by_hand CHECK (kyc_level < 9)",
        "ALTER TABLE users DROP CONSTRAINT by_hand",
        "schema: nothing added to constraints",
        structural=True,
    ),
    by_sql(
        "a table is not logged",
        "ALTER TABLE kyc_documents SET UNLOGGED",
        "ALTER TABLE kyc_documents SET LOGGED",
        "schema: table kyc_documents",
        structural=True,
    ),
    by_sql(
        "a sequence has no owner",
        "ALTER SEQUENCE users_id_seq OWNED BY NONE",
        "ALTER SEQUENCE users_id_seq OWNED BY users.id",
        "schema: sequence users_id_seq",
    ),
    by_sql(
        "an applied migration was edited",
        "UPDATE circlepay.migrations SET sha256 = 'x' || sha256 WHERE version = 1",
        "UPDATE circlepay.migrations SET sha256 = substr(sha256, 2) WHERE version = 1",
        "schema: migrations recorded",
    ),
    by_sql(
        "the database belongs to another role",
        "CREATE ROLE other;;ALTER DATABASE circlepay_db OWNER TO other",
        "ALTER DATABASE circlepay_db OWNER TO postgres;;DROP ROLE other",
        "database: owner",
    ),
    by_sql(
        "connections to the database are limited",
        "ALTER DATABASE circlepay_db CONNECTION LIMIT 20",
        "ALTER DATABASE circlepay_db CONNECTION LIMIT -1",
        "database: connection limit",
    ),
]

PRIVILEGES = [
    by_sql(
        "a privilege is revoked",
        "REVOKE DELETE ON wallets FROM circlepay_user",
        "GRANT DELETE ON wallets TO circlepay_user",
        "privileges: table privilege wallets-DELETE",
        "privileges: may write wallets",
    ),
    by_sql(
        "a sequence cannot be used",
        "REVOKE USAGE ON SEQUENCE users_id_seq FROM circlepay_user",
        "GRANT USAGE ON SEQUENCE users_id_seq TO circlepay_user",
        "privileges: sequence privilege users_id_seq-USAGE",
    ),
    by_sql(
        "future tables are not granted",
        "ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public REVOKE INSERT ON TABLES FROM circlepay_user",
        "ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT INSERT ON TABLES TO circlepay_user",
        "privileges: future tables",
    ),
    by_sql(
        "future sequences are not granted",
        "ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public REVOKE ALL ON SEQUENCES FROM circlepay_user",
        "ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON SEQUENCES TO circlepay_user",
        "privileges: future tables",
    ),
    by_sql(
        "the record of migrations is readable",
        "GRANT USAGE ON SCHEMA circlepay TO circlepay_user;;GRANT SELECT ON circlepay.migrations TO circlepay_user",
        "REVOKE ALL ON circlepay.migrations FROM circlepay_user;;REVOKE ALL ON SCHEMA circlepay FROM circlepay_user",
        "privileges: cannot read the migrations' record",
    ),
    by_sql(
        "objects can be created in public",
        "GRANT CREATE ON SCHEMA public TO circlepay_user",
        "REVOKE CREATE ON SCHEMA public FROM circlepay_user",
        "privileges: cannot create a table in public",
        "privileges: cannot create a function in public",
    ),
    by_sql(
        "schemas can be created",
        "GRANT CREATE ON DATABASE circlepay_db TO circlepay_user",
        "REVOKE CREATE ON DATABASE circlepay_db FROM circlepay_user",
        "privileges: cannot create a schema",
    ),
    by_sql(
        "the role creates databases",
        "ALTER ROLE circlepay_user CREATEDB",
        "ALTER ROLE circlepay_user NOCREATEDB",
        "privileges: role attribute rolcreatedb",
        "privileges: cannot at all create a database",
    ),
    by_sql(
        "the role creates roles",
        "ALTER ROLE circlepay_user CREATEROLE",
        "ALTER ROLE circlepay_user NOCREATEROLE",
        "privileges: role attribute rolcreaterole",
        "privileges: cannot create a role",
    ),
    by_sql(
        "the role has few connections",
        "ALTER ROLE circlepay_user CONNECTION LIMIT 9",
        "ALTER ROLE circlepay_user CONNECTION LIMIT -1",
        "privileges: role attribute rolconnlimit",
    ),
    by_sql(
        "the role expires",
        "ALTER ROLE circlepay_user VALID UNTIL '2999-01-01'",
        "UPDATE pg_authid SET rolvaliduntil = NULL WHERE rolname = 'circlepay_user'",
        "privileges: role attribute rolvaliduntil",
    ),
    by_sql(
        "the role is a member of another",
        "GRANT pg_monitor TO circlepay_user",
        "REVOKE pg_monitor FROM circlepay_user",
        "privileges: role is member of nothing",
    ),
    by_sql(
        "the role may become the owner",
        "GRANT postgres TO circlepay_user WITH INHERIT FALSE",
        "REVOKE postgres FROM circlepay_user",
        "privileges: role is member of nothing",
        "privileges: cannot become the owner",
    ),
    by_sql(
        "the role reads verifiers",
        "GRANT SELECT ON pg_authid TO circlepay_user",
        "REVOKE SELECT ON pg_authid FROM circlepay_user",
        "privileges: cannot read password verifiers",
    ),
    by_sql(
        "the role switches triggers off",
        "GRANT SET ON PARAMETER session_replication_role TO circlepay_user",
        "REVOKE SET ON PARAMETER session_replication_role FROM circlepay_user",
        "privileges: cannot switch triggers off",
    ),
    by_sql(
        "the role configures the server",
        "GRANT ALTER SYSTEM ON PARAMETER work_mem TO circlepay_user",
        "REVOKE ALTER SYSTEM ON PARAMETER work_mem FROM circlepay_user",
        "privileges: holds no privileges on parameters",
    ),
    by_sql(
        "the role passes privileges on",
        "GRANT SELECT ON users TO circlepay_user WITH GRANT OPTION",
        "REVOKE GRANT OPTION FOR SELECT ON users FROM circlepay_user",
        "privileges: cannot pass on its privileges users",
    ),
    by_sql(
        "the role owns a table",
        "ALTER TABLE users OWNER TO circlepay_user",
        f"ALTER TABLE users OWNER TO postgres;;{GRANT_USERS}",
        "schema: table users",
        "privileges: owns nothing",
        "privileges: cannot pass on its privileges users",
        *(f"privileges: cannot {what}" for what in ("alter a table", "disable a trigger", "drop an index")),
    ),
    by_sql(
        "everybody reads a table",
        "GRANT SELECT ON users TO PUBLIC",
        "REVOKE SELECT ON users FROM PUBLIC",
        "privileges: public holds nothing on tables",
    ),
    by_sql(
        "everybody loses temporary tables",
        "REVOKE TEMPORARY ON DATABASE circlepay_db FROM PUBLIC",
        "GRANT TEMPORARY ON DATABASE circlepay_db TO PUBLIC",
        "privileges: public on the database",
    ),
    by_sql(
        "the role's commits are not durable",
        "ALTER ROLE circlepay_user SET synchronous_commit = off",
        "ALTER ROLE circlepay_user RESET synchronous_commit",
        "server settings: durability for the application synchronous_commit",
        "server settings: nothing overridden",
    ),
]
