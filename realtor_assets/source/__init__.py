"""The upstream API and a user's own files: the next batch is asked for and landed verbatim."""
