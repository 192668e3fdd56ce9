"""Lists of staff: tasks, people, lifecycles, mail and events, each as far as its reader sees."""
