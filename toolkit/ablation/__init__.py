"""The paper's progression as one table: what each step costs, and what it gains after the same short training."""
