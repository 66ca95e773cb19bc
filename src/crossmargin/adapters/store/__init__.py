"""Stores of the journal: one SQLite file, or a schema of a PostgreSQL database."""

from crossmargin.adapters.store.opening import create_store, open_store

__all__ = ["create_store", "open_store"]
