"""Version 1 of the contract, generated from embedding.proto by `make proto`."""
