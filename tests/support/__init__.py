"""What several suites share: clones of the project, real servers, the secret scanner."""
