"""What leaves the pipeline: the bento, the running service, and the published history."""
