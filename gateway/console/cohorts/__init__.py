"""The pages of cohorts: the list, one cohort with its proposed pairs, and what staff do to them."""
