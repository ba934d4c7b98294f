"""The checks of the stand-in, one function each.

All rows are written in one transaction that is rolled back, and the cache key is deleted, so that the checks can run in
production without leaving anything behind (except that sequences advance, which PostgreSQL never rolls back).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import ColumnElement, Connection, Engine, func, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from app_stub import agreement, services
from app_stub.environment import Environment, problems, redact
from app_stub.models import KycDocument, Transaction, User, Wallet

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
BALANCE = Decimal("125.500001")
BALANCE_SECONDS = 60

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """One check. seconds: wall clock. detail: what was observed; never a secret."""

    name: str
    passed: bool
    detail: str
    seconds: float


@dataclass(frozen=True)
class Report:
    """All checks of one run."""

    passed: bool
    checks: tuple[Outcome, ...]

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON types."""
        return asdict(self)


class CheckFailedError(Exception):
    """A failed check; the text says what was observed instead."""


def run(environment: Environment) -> Report:
    """Runs every check; one that fails does not hide the others."""
    recorder = _Recorder(environment)
    recorder.check("environment", lambda: _environment(environment))
    engine = recorder.check("database url", lambda: services.database(environment))
    if isinstance(engine, Engine):
        _database_checks(recorder, engine)
    cache = recorder.check("redis url", lambda: services.cache(environment))
    if isinstance(cache, Redis):
        with cache:
            recorder.check("redis", lambda: _ping(cache))
            recorder.check("cached balance", lambda: _cached_balance(cache))
    outcomes = tuple(recorder.outcomes)
    return Report(passed=all(outcome.passed for outcome in outcomes), checks=outcomes)


class _Recorder:
    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.outcomes: list[Outcome] = []

    def check(self, name: str, step: Callable[[], T]) -> T | None:
        """Run one check and record its outcome; returns its result, or None when it failed."""
        started = time.perf_counter()
        result: T | None = None
        passed = True
        try:
            result = step()
            detail = result if isinstance(result, str) else ""
        except Exception as error:  # any failure is a result: the report must be printed in every case
            passed, detail = False, _first_line(error)
        seconds = round(time.perf_counter() - started, 4)
        self.outcomes.append(Outcome(name, passed, redact(detail, self.environment), seconds))
        return result


def _first_line(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text_of = str(cause).strip().splitlines()
    return (
        text_of[0]
        if isinstance(error, CheckFailedError)
        else f"{type(cause).__name__}: {text_of[0] if text_of else ''}"
    )


def _database_checks(recorder: _Recorder, engine: Engine) -> None:
    connection = recorder.check("database", engine.connect)
    if not isinstance(connection, Connection):
        return
    with connection:
        recorder.check("role", lambda: _role(connection))
        recorder.check("schema", lambda: _schema(connection))
        connection.rollback()
        with (
            connection.begin() as transaction,
            Session(connection, join_transaction_mode="create_savepoint") as session,
        ):
            user = recorder.check("users", lambda: _user(session))
            if isinstance(user, User):
                _row_checks(recorder, session, user)
            session.rollback()
            transaction.rollback()
        recorder.check("nothing left behind", lambda: _nothing_left(connection, user))


def _row_checks(recorder: _Recorder, session: Session, user: User) -> None:
    steps: dict[str, Callable[[Session, User], str]] = {
        "wallets": _wallet,
        "unique user and chain": _unique_chain,
        "transactions": _transaction,
        "kyc documents": _kyc_document,
        "users.updated_at": lambda session, user: _updated_at(session, User, User.id == user.id),
        "wallets.updated_at": lambda session, user: _updated_at(session, Wallet, Wallet.user_id == user.id),
        "kyc_documents.updated_at": lambda session, user: _updated_at(
            session, KycDocument, KycDocument.user_id == user.id
        ),
    }
    for name, step in steps.items():
        recorder.check(name, partial(_in_savepoint, step, session, user))


def _in_savepoint(step: Callable[[Session, User], str], session: Session, user: User) -> str:
    """A failing step must not abort the transaction of the following ones."""
    with session.begin_nested():
        return step(session, user)


def _environment(environment: Environment) -> str:
    found = problems(environment)
    if found:
        raise CheckFailedError("; ".join(found))
    return f"{environment.values['ENVIRONMENT']}, {len(environment.values)} keys"


def _role(connection: Connection) -> str:
    statement = text(
        "SELECT current_user, rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
    )
    name, powerful = connection.execute(statement).one()
    if powerful:
        raise CheckFailedError(
            f"the application connects as {name}, which has more privileges than using the application's tables"
        )
    return f"connected as {name}"


def _schema(connection: Connection) -> str:
    found = agreement.differences(connection)
    if found:
        raise CheckFailedError("; ".join(found))
    return "models and schema agree"


def _user(session: Session) -> User:
    mark = uuid4().hex
    user = User(
        email=f"{mark}@app-stub.invalid",
        phone=mark[:20],
        first_name="App",
        last_name="Stub",
        country_code="KR",
        updated_at=LONG_AGO,
    )
    session.add(user)
    session.flush()
    session.refresh(user)
    _expect("users.preferred_currency", user.preferred_currency, "USDC")
    _expect("users.kyc_status", user.kyc_status, "pending")
    _expect("users.is_active", user.is_active, True)
    return user


def _wallet(session: Session, user: User) -> str:
    wallet = Wallet(
        user=user,
        circle_wallet_id=uuid4().hex,
        wallet_address="0x" + "a" * 40,
        chain_id=137,
        chain_name="Polygon",
        updated_at=LONG_AGO,
    )
    session.add(wallet)
    session.flush()
    session.refresh(wallet)
    _expect("wallets.usdc_balance", wallet.usdc_balance, Decimal(0))
    wallet.usdc_balance = BALANCE
    session.flush()
    session.refresh(wallet)
    _expect("wallets.usdc_balance", wallet.usdc_balance, BALANCE)
    return f"balance {wallet.usdc_balance}"


def _unique_chain(session: Session, user: User) -> str:
    second = Wallet(user_id=user.id, circle_wallet_id=uuid4().hex, chain_id=137, chain_name="Polygon")
    try:
        with session.begin_nested():
            session.add(second)
    except IntegrityError as error:
        name = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
        _expect("the violated constraint", name, "uq_user_chain")
        return "a second wallet on the same chain is refused by uq_user_chain"
    raise CheckFailedError("a second wallet of the same user on the same chain was accepted: uq_user_chain is missing")


def _transaction(session: Session, user: User) -> str:
    payment = Transaction(
        user=user,
        transaction_id=uuid4().hex,
        transaction_hash="0x" + uuid4().hex * 2,
        transaction_type="payment",
        amount=Decimal("12.345678"),
        source_chain="Polygon",
        target_chain="Ethereum",
    )
    session.add(payment)
    session.flush()
    session.refresh(payment)
    _expect("transactions.currency", payment.currency, "USDC")
    _expect("transactions.status", payment.status, "pending")
    _expect("transactions.amount", payment.amount, Decimal("12.345678"))
    return f"{payment.amount} {payment.currency}, {payment.status}"


def _kyc_document(session: Session, user: User) -> str:
    document = KycDocument(
        user=user, document_type="passport", nationality="KR", risk_score=Decimal("0.25"), updated_at=LONG_AGO
    )
    session.add(document)
    session.flush()
    session.refresh(document)
    _expect("kyc_documents.verification_status", document.verification_status, "pending")
    _expect("kyc_documents.risk_score", document.risk_score, Decimal("0.25"))
    return f"{document.document_type}, {document.verification_status}"


def _updated_at(session: Session, model: type[User | Wallet | KycDocument], mine: ColumnElement[bool]) -> str:
    """The trigger must replace an old `updated_at` in an update by the transaction's time."""
    session.execute(
        update(model).where(mine).values(updated_at=LONG_AGO), execution_options={"synchronize_session": False}
    )
    now = session.scalar(select(func.current_timestamp()))
    rows = session.scalars(select(model.updated_at).where(mine)).all()
    if not rows or any(row != now for row in rows):
        raise CheckFailedError(f"the trigger of {model.__tablename__} did not set updated_at")
    return f"set by the trigger on {len(rows)} row(s)"


def _nothing_left(connection: Connection, user: object) -> str:
    if not isinstance(user, User):
        return "nothing was written"
    left = connection.scalar(select(func.count()).select_from(User).where(User.email.like("%@app-stub.invalid")))
    if left:
        raise CheckFailedError(f"{left} row(s) of this program are in users")
    return "every row was rolled back"


def _ping(cache: Redis) -> str:
    if cache.ping() is not True:
        raise CheckFailedError("PING was not answered with PONG")
    return "PONG"


def _cached_balance(cache: Redis) -> str:
    key = f"circlepay:app-stub:{uuid4().hex}:balance"
    try:
        cache.set(key, str(BALANCE), ex=BALANCE_SECONDS)
        _expect("the cached balance", Decimal(str(cache.get(key))), BALANCE)
        left = int(str(cache.ttl(key)))
        if not 0 < left <= BALANCE_SECONDS:
            raise CheckFailedError(f"the cached balance expires in {left} s instead of {BALANCE_SECONDS} s")
    finally:
        with suppress(RedisError):
            cache.delete(key)
    return f"kept for {BALANCE_SECONDS} s and removed"


def _expect(what: str, observed: object, expected: object) -> None:
    if observed != expected:
        raise CheckFailedError(f"{what} is {observed!r}, expected {expected!r}")


def alive(environment: Environment) -> dict[str, str]:
    """A minimal request to both services: `ok` or the error, by service."""
    return {
        "database": _answer(environment, lambda: _select_one(environment)),
        "redis": _answer(environment, lambda: _ping_once(environment)),
    }


def _answer(environment: Environment, question: Callable[[], None]) -> str:
    try:
        question()
    except (SQLAlchemyError, RedisError, OSError, ValueError, CheckFailedError) as error:
        return redact(_first_line(error), environment)
    return "ok"


def _select_one(environment: Environment) -> None:
    with services.database(environment).connect() as connection:
        connection.execute(text("SELECT 1"))


def _ping_once(environment: Environment) -> None:
    with services.cache(environment) as cache:
        _ping(cache)
