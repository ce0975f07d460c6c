"""Tests of the delivery: images, install-model, manifests."""
