"""What can be found out about a graph without changing it: shapes, work, receptive field, values, and errors."""
