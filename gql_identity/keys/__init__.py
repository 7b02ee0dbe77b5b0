"""API keys: who may do what with them, and every read and write of one."""
