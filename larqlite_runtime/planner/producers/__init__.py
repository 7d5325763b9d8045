"""What makes the rows of a fusion group: packed products, float convolutions, poolings."""
