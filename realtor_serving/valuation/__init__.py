"""From checked homes to answers: micro-batching, valuation, inference log."""
