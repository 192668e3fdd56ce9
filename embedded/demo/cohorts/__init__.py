"""The demos of cohort programs: their people, their days, and their scripts in Spanish (COH1–COH4)."""
