"""How good generated images are: arrays in, numbers out."""
