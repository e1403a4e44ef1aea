"""Stage 6: the Production model's ratio study, and its valuations of the newest batch."""
