"""How each side speaks: four wire languages around one neutral dialog. Pure: no clock, no sockets, no randomness."""
