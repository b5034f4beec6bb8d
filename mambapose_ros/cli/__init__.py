"""The `mambapose` command."""
