"""The workflow of a cohort."""
