"""The record that people read and deliveries depend on: tables, sessions, the delivery ledger, the audit chain."""
# long: one module for each thing that is stored
