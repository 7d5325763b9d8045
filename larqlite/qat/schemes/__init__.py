"""Which bits a model gets: schemes, the rules of layers, the names of both."""
