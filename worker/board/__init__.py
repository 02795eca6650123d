"""The night board: a live page of the ranking, read from our own topics; read-only."""
