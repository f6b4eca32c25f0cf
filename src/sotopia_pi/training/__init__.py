"""Training: what is selected, how it becomes examples, and the supervised update."""
