"""The valuation model: what a listing is, what is learnt from listings, and how good it is."""

__version__ = "0.1.0"
