"""The dashboard's server, without a browser; tests/web has the page."""
