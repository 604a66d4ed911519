"""Image quality: metrics, image sets, evaluation, and quality budgets of precisions."""
