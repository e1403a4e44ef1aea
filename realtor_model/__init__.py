"""The valuation model: the listing contract, features, training, valuation and evaluation."""

__version__ = "0.1.0"
