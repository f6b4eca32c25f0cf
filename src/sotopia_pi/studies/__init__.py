"""Human evaluation: studies, their items and annotators, what an annotator does next, and the owner's figures."""
