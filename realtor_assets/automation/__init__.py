"""What runs by itself: the jobs, the state of each batch, and the sensors that launch jobs."""
