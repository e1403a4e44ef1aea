"""Parts of pages: each draws one thing, from answers that the page hands it."""
