"""A generator on a page: one HTML file that computes it in any browser, without a server or the network.

`plain_layers` says in plain data what a generator's layers compute; `document` puts that, the weights and the
page's own sources, which lie here beside it, into one file. In the page `layers.js` computes the layers.
"""
