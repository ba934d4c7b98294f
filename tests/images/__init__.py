"""The images that tests run on, and how they are made."""
