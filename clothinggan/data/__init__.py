"""Where training images come from, and the stream of batches that is made of them."""
