"""What the same machine needs for less work: the floors that ratios are taken to."""
