"""The panel: the page a person teaches by, and the server behind it."""
