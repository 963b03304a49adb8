"""A network as a table of layers, the zoo of published shapes, and importers."""
