"""The page of the viewer: HTML, CSS and plain ES modules, served as they are."""
