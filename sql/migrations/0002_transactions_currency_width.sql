-- The documented VARCHAR(3) cannot hold its own default 'USDC': every insert that relied on it failed. Widening a varchar
-- rewrites no rows. The width is that of users.preferred_currency, which holds the same values.

ALTER TABLE transactions ALTER COLUMN currency TYPE VARCHAR(10);
