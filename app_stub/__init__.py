"""A stand-in for the application: from the env file alone it checks both services through SQLAlchemy and redis-py."""
