"""Tests of exact integer models."""
