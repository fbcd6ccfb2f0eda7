"""What happens, in which order: the async shell around the pure core."""
