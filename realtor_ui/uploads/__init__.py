"""Files of homes from a user: opened, understood, valued, and written back with estimates."""
