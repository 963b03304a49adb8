"""Any machine with a memory hierarchy: mappings, their traffic and cycles, and the search among them."""
