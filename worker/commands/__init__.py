"""The commands: each reads settings, wires the rooms and maps the outcome to an exit code."""
