"""How good generated images are: metrics of arrays, and the evaluator that puts them together."""
