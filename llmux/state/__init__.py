"""What must be remembered between requests, and shared between workers: windows, places, cooldowns."""
