"""The commands of paravec, a module each, and what they share."""
