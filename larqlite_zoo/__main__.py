"""`python -m larqlite_zoo` is the command `lqz`."""

from larqlite_zoo.cli import main

if __name__ == "__main__":
    main()
