"""Who should answer: pure decisions over frozen values. Time, randomness and I/O come in as arguments."""
