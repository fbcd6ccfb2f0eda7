"""What the operator asked for: TOML in, one frozen `Config` out, every error at once with its line."""
