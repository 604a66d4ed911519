"""What is found out about a graph: shapes, costs, locality, and its values in float64."""
