"""Tests of larqlite.integer.models."""
