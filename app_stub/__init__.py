"""A stand-in for the application: knowing only the env file, it proves both services by SQLAlchemy and redis-py."""
