"""The command line; imports anything, and nothing imports it."""
