"""The HTTP server: uvicorn's start and stop, the listening socket, and HTTP/1.1 on a connection."""
