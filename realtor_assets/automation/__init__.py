"""When things run by themselves: the jobs, where each batch is on its way, and the sensors."""
