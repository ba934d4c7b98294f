"""What the tests of the env file share."""

from __future__ import annotations

VALUES = {
    "DATABASE_URL": "postgresql://circlepay_user:pw@127.0.0.1:5432/circlepay_db",
    "REDIS_URL": "redis://default:pw@127.0.0.1:6379/0",
    "SECRET_KEY": "s3cret_key-0123456789abcdefghijkl",
    "JWT_SECRET_KEY": "jwt_secret-0123456789abcdefghijkl",
    "CIRCLE_SANDBOX_API_KEY": "TEST_API_KEY:1:2",
    "CIRCLE_ENTITY_SECRET": "ab" * 32,
    "ENVIRONMENT": "development",
    "DEBUG": "true",
    "LOG_LEVEL": "DEBUG",
}
