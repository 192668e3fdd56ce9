"""What staff see and do, once, for command and browser."""
# long: one module for each thing that staff see or do
