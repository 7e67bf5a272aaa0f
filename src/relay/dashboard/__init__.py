"""The dashboard: the web page, its server, and the words it shows."""
