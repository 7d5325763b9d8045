"""`python -m larqlite` is the command `lq`."""

from larqlite_runtime.cli import main

if __name__ == "__main__":
    main()
