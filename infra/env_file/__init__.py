"""The application's env file: how values are written, how the file is replaced, and the gate before that."""
