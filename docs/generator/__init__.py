"""The pages of the docs site that are made from the code when the site is built."""
