"""What every Machine promises, on each of them and on one in memory."""
