"""From the bytes of a file to a checked `Graph`; sizes are bounded before anything is made."""
