"""Builds both distributions, checks each in bare environments, and says how to publish them.

`make release`; `trees` says what is in each of them.
"""
