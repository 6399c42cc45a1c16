"""The tests of discolocal."""
