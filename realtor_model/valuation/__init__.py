"""A trained model as one thing: what it values, explains and compares, and how it is stored."""
