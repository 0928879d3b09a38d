"""Custom components of the review app, their HTML, CSS and JavaScript read from the package."""
