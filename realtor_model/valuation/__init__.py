"""A trained valuation model: predictions, intervals, explanations, comparables and its bundle."""
