"""One module a screen, each with `show(session)`."""
