"""The duel of challenger and champion, the Production model, and what a new champion changes."""
