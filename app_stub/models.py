"""The application's view of the four tables, as SQLAlchemy 2 models.

They declare everything that Alembic can compare (types, nullability, defaults, indexes, unique constraints, foreign keys),
so that `app_stub.agreement` detects a schema that differs from what the application expects.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import TIMESTAMP, ForeignKey, Index, MetaData, Numeric, String, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

NAMING = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_name)s_key",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
}
"""PostgreSQL's own default names, which the schema uses."""

Moment = TIMESTAMP(timezone=True)
Money = Numeric(18, 6)
NOW = text("CURRENT_TIMESTAMP")


class Base(DeclarativeBase):
    """Base of the four models."""

    metadata = MetaData(naming_convention=NAMING)


class User(Base):
    """A person with an account."""

    __tablename__ = "users"
    __table_args__ = (
        Index("idx_users_email", "email"),
        Index("idx_users_phone", "phone"),
        Index("idx_users_circle_wallet_id", "circle_wallet_id"),
        Index("idx_users_circle_entity_id", "circle_entity_id"),
        Index("idx_users_circle_wallet_set_id", "circle_wallet_set_id"),
        Index("idx_users_primary_wallet_id", "primary_wallet_id"),
        Index("idx_users_kyc_status", "kyc_status"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(255), unique=True)
    phone: Mapped[str | None] = mapped_column(String(20), unique=True)
    first_name: Mapped[str] = mapped_column(String(100))
    last_name: Mapped[str] = mapped_column(String(100))
    country_code: Mapped[str] = mapped_column(String(2))
    preferred_currency: Mapped[str | None] = mapped_column(String(10), server_default="USDC")
    circle_wallet_id: Mapped[str | None] = mapped_column(String(255), unique=True)
    circle_entity_id: Mapped[str | None] = mapped_column(String(255), unique=True)
    circle_wallet_set_id: Mapped[str | None] = mapped_column(String(255), unique=True)
    primary_wallet_id: Mapped[str | None] = mapped_column(String(255))
    is_verified: Mapped[bool | None] = mapped_column(server_default=text("false"))
    is_active: Mapped[bool | None] = mapped_column(server_default=text("true"))
    pin_hash: Mapped[str | None] = mapped_column(String(255))
    kyc_status: Mapped[str | None] = mapped_column(String(20), server_default="pending")
    kyc_level: Mapped[int | None] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime | None] = mapped_column(Moment, server_default=NOW)
    updated_at: Mapped[datetime | None] = mapped_column(Moment, server_default=NOW)
    last_login_at: Mapped[datetime | None] = mapped_column(Moment)

    wallets: Mapped[list[Wallet]] = relationship(back_populates="user", passive_deletes=True)
    transactions: Mapped[list[Transaction]] = relationship(back_populates="user", passive_deletes=True)
    kyc_documents: Mapped[list[KycDocument]] = relationship(back_populates="user", passive_deletes=True)


class Wallet(Base):
    """One wallet of a user on one chain; a user has at most one per chain."""

    __tablename__ = "wallets"
    __table_args__ = (
        UniqueConstraint("user_id", "chain_id", name="uq_user_chain"),
        Index("idx_wallets_user_id", "user_id"),
        Index("idx_wallets_circle_wallet_id", "circle_wallet_id"),
        Index("idx_wallets_wallet_address", "wallet_address"),
        Index("idx_wallets_chain_id", "chain_id"),
        Index("idx_wallets_chain_name", "chain_name"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    circle_wallet_id: Mapped[str] = mapped_column(String(255), unique=True)
    wallet_address: Mapped[str | None] = mapped_column(String(42))
    chain_id: Mapped[int]
    chain_name: Mapped[str] = mapped_column(String(50))
    usdc_balance: Mapped[Decimal | None] = mapped_column(Money, server_default=text("0"))
    last_balance_update: Mapped[datetime | None] = mapped_column(Moment)
    is_active: Mapped[bool | None] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime | None] = mapped_column(Moment, server_default=NOW)
    updated_at: Mapped[datetime | None] = mapped_column(Moment, server_default=NOW)

    user: Mapped[User] = relationship(back_populates="wallets")


class Transaction(Base):
    """A payment or transfer, in `currency` with six decimals."""

    __tablename__ = "transactions"
    __table_args__ = (
        Index("idx_transactions_user_id", "user_id"),
        Index("idx_transactions_transaction_id", "transaction_id"),
        Index("idx_transactions_transaction_hash", "transaction_hash"),
        Index("idx_transactions_status", "status"),
        Index("idx_transactions_created_at", "created_at"),
        Index("idx_transactions_transaction_type", "transaction_type"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    transaction_id: Mapped[str] = mapped_column(String(255), unique=True)
    transaction_hash: Mapped[str | None] = mapped_column(String(66), unique=True)
    transaction_type: Mapped[str] = mapped_column(String(20))
    status: Mapped[str | None] = mapped_column(String(20), server_default="pending")
    amount: Mapped[Decimal] = mapped_column(Money)
    currency: Mapped[str | None] = mapped_column(String(10), server_default="USDC")
    usd_amount: Mapped[Decimal | None] = mapped_column(Money)
    local_amount: Mapped[Decimal | None] = mapped_column(Money)
    local_currency: Mapped[str | None] = mapped_column(String(3))
    source_chain: Mapped[str | None] = mapped_column(String(50))
    target_chain: Mapped[str | None] = mapped_column(String(50))
    source_address: Mapped[str | None] = mapped_column(String(42))
    target_address: Mapped[str | None] = mapped_column(String(42))
    gas_fee: Mapped[Decimal | None] = mapped_column(Money)
    service_fee: Mapped[Decimal | None] = mapped_column(Money)
    total_fee: Mapped[Decimal | None] = mapped_column(Money)
    merchant_id: Mapped[str | None] = mapped_column(String(255))
    merchant_name: Mapped[str | None] = mapped_column(String(255))
    qr_code_id: Mapped[str | None] = mapped_column(String(255))
    extra_metadata: Mapped[str | None] = mapped_column(Text)
    notes: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime | None] = mapped_column(Moment, server_default=NOW)
    completed_at: Mapped[datetime | None] = mapped_column(Moment)

    user: Mapped[User] = relationship(back_populates="transactions")


class KycDocument(Base):
    """An identity document that a user submitted, and the result of its verification."""

    __tablename__ = "kyc_documents"
    __table_args__ = (
        Index("idx_kyc_documents_user_id", "user_id"),
        Index("idx_kyc_documents_document_type", "document_type"),
        Index("idx_kyc_documents_verification_status", "verification_status"),
        Index("idx_kyc_documents_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    document_type: Mapped[str] = mapped_column(String(50))
    document_number: Mapped[str | None] = mapped_column(String(100))
    full_name: Mapped[str | None] = mapped_column(String(200))
    date_of_birth: Mapped[str | None] = mapped_column(String(10))
    nationality: Mapped[str | None] = mapped_column(String(2))
    gender: Mapped[str | None] = mapped_column(String(10))
    address_line1: Mapped[str | None] = mapped_column(String(255))
    address_line2: Mapped[str | None] = mapped_column(String(255))
    city: Mapped[str | None] = mapped_column(String(100))
    state_province: Mapped[str | None] = mapped_column(String(100))
    postal_code: Mapped[str | None] = mapped_column(String(20))
    country: Mapped[str | None] = mapped_column(String(2))
    occupation: Mapped[str | None] = mapped_column(String(100))
    employer: Mapped[str | None] = mapped_column(String(200))
    income_range: Mapped[str | None] = mapped_column(String(50))
    source_of_funds: Mapped[str | None] = mapped_column(String(100))
    file_url: Mapped[str | None] = mapped_column(String(500))
    file_type: Mapped[str | None] = mapped_column(String(20))
    file_size: Mapped[int | None]
    verification_status: Mapped[str | None] = mapped_column(String(20), server_default="pending")
    verification_method: Mapped[str | None] = mapped_column(String(50))
    verification_notes: Mapped[str | None] = mapped_column(Text)
    verified_by: Mapped[str | None] = mapped_column(String(100))
    verified_at: Mapped[datetime | None] = mapped_column(Moment)
    compliance_check_id: Mapped[str | None] = mapped_column(String(255))
    risk_score: Mapped[Decimal | None] = mapped_column(Numeric(3, 2))
    risk_factors: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime | None] = mapped_column(Moment, server_default=NOW)
    updated_at: Mapped[datetime | None] = mapped_column(Moment, server_default=NOW)
    expires_at: Mapped[datetime | None] = mapped_column(Moment)

    user: Mapped[User] = relationship(back_populates="kyc_documents")
