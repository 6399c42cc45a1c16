"""Workers in several languages that need nothing of discolocal."""
