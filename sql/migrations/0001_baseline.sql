-- The schema as documented, identifier for identifier: a database built by hand from the document is adopted at this
-- version. What cannot work as documented is put right by the migrations that follow, never here.

-- Users ---------------------------------------------------------------------------------------------------------------

CREATE TABLE users (
    id SERIAL PRIMARY KEY,
    email VARCHAR(255) UNIQUE NOT NULL,
    phone VARCHAR(20) UNIQUE,
    first_name VARCHAR(100) NOT NULL,
    last_name VARCHAR(100) NOT NULL,
    country_code VARCHAR(2) NOT NULL,
    preferred_currency VARCHAR(10) DEFAULT 'USDC',

    -- Circle wallet
    circle_wallet_id VARCHAR(255) UNIQUE,
    circle_entity_id VARCHAR(255) UNIQUE,
    circle_wallet_set_id VARCHAR(255) UNIQUE,
    primary_wallet_id VARCHAR(255),

    -- Authentication
    is_verified BOOLEAN DEFAULT FALSE,
    is_active BOOLEAN DEFAULT TRUE,
    pin_hash VARCHAR(255),

    -- KYC
    kyc_status VARCHAR(20) DEFAULT 'pending',
    kyc_level INTEGER DEFAULT 1,

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    last_login_at TIMESTAMP WITH TIME ZONE
);

CREATE INDEX idx_users_email ON users(email);
CREATE INDEX idx_users_phone ON users(phone);
CREATE INDEX idx_users_circle_wallet_id ON users(circle_wallet_id);
CREATE INDEX idx_users_circle_entity_id ON users(circle_entity_id);
CREATE INDEX idx_users_circle_wallet_set_id ON users(circle_wallet_set_id);
CREATE INDEX idx_users_primary_wallet_id ON users(primary_wallet_id);
CREATE INDEX idx_users_kyc_status ON users(kyc_status);

-- Wallets -------------------------------------------------------------------------------------------------------------

CREATE TABLE wallets (
    id SERIAL PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,

    -- Circle wallet
    circle_wallet_id VARCHAR(255) UNIQUE NOT NULL,
    wallet_address VARCHAR(42),
    chain_id INTEGER NOT NULL,
    chain_name VARCHAR(50) NOT NULL,

    -- Balance (cached)
    usdc_balance NUMERIC(18, 6) DEFAULT 0,
    last_balance_update TIMESTAMP WITH TIME ZONE,

    -- State
    is_active BOOLEAN DEFAULT TRUE,

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_wallets_user_id ON wallets(user_id);
CREATE INDEX idx_wallets_circle_wallet_id ON wallets(circle_wallet_id);
CREATE INDEX idx_wallets_wallet_address ON wallets(wallet_address);
CREATE INDEX idx_wallets_chain_id ON wallets(chain_id);
CREATE INDEX idx_wallets_chain_name ON wallets(chain_name);

-- One wallet per user and chain
ALTER TABLE wallets ADD CONSTRAINT uq_user_chain UNIQUE (user_id, chain_id);

-- Transactions --------------------------------------------------------------------------------------------------------

CREATE TABLE transactions (
    id SERIAL PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,

    -- The transaction itself
    transaction_id VARCHAR(255) UNIQUE NOT NULL,
    transaction_hash VARCHAR(66) UNIQUE,
    transaction_type VARCHAR(20) NOT NULL,
    status VARCHAR(20) DEFAULT 'pending',

    -- Amounts
    amount NUMERIC(18, 6) NOT NULL,
    currency VARCHAR(3) DEFAULT 'USDC',
    usd_amount NUMERIC(18, 6),
    local_amount NUMERIC(18, 6),
    local_currency VARCHAR(3),

    -- Chains
    source_chain VARCHAR(50),
    target_chain VARCHAR(50),
    source_address VARCHAR(42),
    target_address VARCHAR(42),

    -- Fees
    gas_fee NUMERIC(18, 6),
    service_fee NUMERIC(18, 6),
    total_fee NUMERIC(18, 6),

    -- Payment (by QR code)
    merchant_id VARCHAR(255),
    merchant_name VARCHAR(255),
    qr_code_id VARCHAR(255),

    -- Metadata
    extra_metadata TEXT,
    notes TEXT,

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    completed_at TIMESTAMP WITH TIME ZONE
);

CREATE INDEX idx_transactions_user_id ON transactions(user_id);
CREATE INDEX idx_transactions_transaction_id ON transactions(transaction_id);
CREATE INDEX idx_transactions_transaction_hash ON transactions(transaction_hash);
CREATE INDEX idx_transactions_status ON transactions(status);
CREATE INDEX idx_transactions_created_at ON transactions(created_at);
CREATE INDEX idx_transactions_transaction_type ON transactions(transaction_type);

-- KYC documents -------------------------------------------------------------------------------------------------------

CREATE TABLE kyc_documents (
    id SERIAL PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,

    -- The document's kind
    document_type VARCHAR(50) NOT NULL,
    document_number VARCHAR(100),

    -- Person (KYC level 1)
    full_name VARCHAR(200),
    date_of_birth VARCHAR(10),
    nationality VARCHAR(2),
    gender VARCHAR(10),

    -- Address (KYC level 2)
    address_line1 VARCHAR(255),
    address_line2 VARCHAR(255),
    city VARCHAR(100),
    state_province VARCHAR(100),
    postal_code VARCHAR(20),
    country VARCHAR(2),

    -- Occupation (KYC level 2)
    occupation VARCHAR(100),
    employer VARCHAR(200),
    income_range VARCHAR(50),
    source_of_funds VARCHAR(100),

    -- The document's file
    file_url VARCHAR(500),
    file_type VARCHAR(20),
    file_size INTEGER,

    -- Verification
    verification_status VARCHAR(20) DEFAULT 'pending',
    verification_method VARCHAR(50),
    verification_notes TEXT,
    verified_by VARCHAR(100),
    verified_at TIMESTAMP WITH TIME ZONE,

    -- Compliance
    compliance_check_id VARCHAR(255),
    risk_score NUMERIC(3, 2),
    risk_factors TEXT,

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    expires_at TIMESTAMP WITH TIME ZONE
);

CREATE INDEX idx_kyc_documents_user_id ON kyc_documents(user_id);
CREATE INDEX idx_kyc_documents_document_type ON kyc_documents(document_type);
CREATE INDEX idx_kyc_documents_verification_status ON kyc_documents(verification_status);
CREATE INDEX idx_kyc_documents_created_at ON kyc_documents(created_at);

-- updated_at ----------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION update_updated_at_column()
RETURNS TRIGGER AS $$
BEGIN
    NEW.updated_at = CURRENT_TIMESTAMP;
    RETURN NEW;
END;
$$ language 'plpgsql';

CREATE TRIGGER update_users_updated_at BEFORE UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

CREATE TRIGGER update_wallets_updated_at BEFORE UPDATE ON wallets
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

CREATE TRIGGER update_kyc_documents_updated_at BEFORE UPDATE ON kyc_documents
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
