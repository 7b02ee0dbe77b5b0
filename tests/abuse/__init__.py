"""One caller's attacks on a real service, and what a victim in another domain notices: `python -m tests.abuse`."""
