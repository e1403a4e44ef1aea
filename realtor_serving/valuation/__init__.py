"""From checked homes to answers: valued together, and logged."""
