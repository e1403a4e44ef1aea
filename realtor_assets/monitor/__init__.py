"""How good the Production model is, and how it values the newest batch."""
