"""The production processes: a worker and a gateway, with their settings and connections."""
# long: a module for each thing that a process opens, runs or stops
