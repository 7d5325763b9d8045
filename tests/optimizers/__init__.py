"""Tests of larqlite.optimizers."""
