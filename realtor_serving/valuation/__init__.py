"""Values checked homes: micro-batching, valuation, inference log."""
