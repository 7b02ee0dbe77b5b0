"""HTTP and WebSocket: what is read, refused and returned."""
