"""A precision is a rewrite of the graph: half and bfloat16 tensors, or quantised convolutions."""
