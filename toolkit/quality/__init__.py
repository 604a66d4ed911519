"""How good the pictures are: metrics, image sets, evaluation, and the budget of a precision."""
