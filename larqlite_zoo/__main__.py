"""`python -m larqlite_zoo` is the command `lqz`."""

from larqlite_runtime.cli import zoo

if __name__ == "__main__":
    zoo()
