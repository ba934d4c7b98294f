-- Drops the nine indexes that another index already covers: eight have the same column as a UNIQUE constraint's own index, and
-- idx_wallets_user_id is the first column of uq_user_chain. Each costs a write per inserted row and its disk space, and answers
-- no query the other does not. CONCURRENTLY: writers are not blocked; no transaction around it, safe to run again.
-- Run by `postgres.dropRedundantIndexes: true`; setting it back to false creates them again.

DROP INDEX CONCURRENTLY IF EXISTS public.idx_users_email;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_users_phone;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_users_circle_wallet_id;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_users_circle_entity_id;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_users_circle_wallet_set_id;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_wallets_user_id;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_wallets_circle_wallet_id;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_transactions_transaction_id;
DROP INDEX CONCURRENTLY IF EXISTS public.idx_transactions_transaction_hash;
