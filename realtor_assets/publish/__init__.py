"""Stage 7: the bento, the running service, and the published history."""
