"""uvicorn: its start, its protocol and its end."""
